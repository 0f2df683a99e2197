"""Pieces in any order become the arrays of one partition, and the gaps among them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, OUTCOMES
from hrrr_dask.planning import Axis
from hrrr_dask.records import Extract

__all__ = ["Slab", "assemble"]


@dataclass(frozen=True, slots=True)
class Slab:
    """All values of one partition."""

    values: NDArray[np.float32]
    """dims (variable, init_time, lead_time, point); NaN where there is no value."""
    outcomes: NDArray[np.uint8]
    """dims (variable, init_time, lead_time): outcome numbers."""

    @property
    def status(self) -> NDArray[np.uint8]:
        """Dims (init_time, lead_time): the gravest outcome of a file, not counting variables that are not offered."""
        absent = self.outcomes == NOT_OFFERED
        gravest: NDArray[np.uint8] = np.where(absent, NOT_INGESTED, self.outcomes).max(axis=0)
        gravest[absent.all(axis=0)] = NOT_OFFERED
        return gravest


def assemble(
    before: Slab,
    extracts: Iterable[Extract],
    *,
    axis: Axis,
    first_init: int,
    variables: Sequence[str],
    lead_hours: Sequence[int],
) -> Slab:
    """Lay extracts over what the store already holds.

    A value that is there stays unless a new one replaces it; a new gap never hides an old value.

    Parameters
    ----------
    before : Slab
        What is committed in the partition.
    extracts : iterable of Extract
        New pieces, in any order.
    axis : Axis
        The store's axis.
    first_init : int
        Position of the partition's first init time on the axis.
    variables : sequence of str
        Names, in plan order.
    lead_hours : sequence of int
        The store's lead times [h].

    Returns
    -------
    Slab
        Of the same shape as ``before``.
    """
    values, outcomes = before.values.copy(), before.outcomes.copy()
    lead_index = {lead: k for k, lead in enumerate(lead_hours)}
    for extract in extracts:
        file = extract.outcome.file
        row, lead = axis.index(file.init_time) - first_init, lead_index[file.lead_hours]
        assert 0 <= row < values.shape[1], f"{file.label} is of another partition"
        for v, name in enumerate(variables):
            if name not in extract.outcome.wanted:
                continue
            number = OUTCOMES[extract.outcome.reasons.get(name, "complete")].number
            if number == COMPLETE:
                values[v, row, lead] = extract.values[v]
            if number == COMPLETE or outcomes[v, row, lead] != COMPLETE:
                outcomes[v, row, lead] = number
    return Slab(values, outcomes)
