"""Expected values of a store according to its ledger: which points, from which source object, which gaps. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["EXPECTED_COLUMNS", "ExpectedValues", "collect_expected", "draw_sample"]

EXPECTED_COLUMNS: Final = ("init_time", "lead_minutes", "variable", "outcome", "first_point", "n_points", "source")
"""Columns of the ledger that :func:`collect_expected` reads."""


@dataclass(slots=True)
class ExpectedValues:
    """Values of one variable of one file, according to the ledger."""

    parts: list[tuple[int, int, str]] = field(default_factory=list)
    """Points that have values, as half-open ranges, and their source object; later parts are newer."""
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    """Points with a gap, as half-open ranges, and the reason; later parts are newer."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Source objects of the values, the newest first."""
        return tuple(dict.fromkeys(source for *_, source in reversed(self.parts)))

    @property
    def reason(self) -> str:
        """Reason for the gap, from the latest attempt."""
        return self.gaps[-1][2] if self.gaps else ""

    def complete(self, n_points: int, source: str | None = None) -> NDArray[np.bool_]:
        """Return which points have values, dims (point,); with ``source``, only those from it."""
        by = np.full(n_points, -1)
        for number, (first, last, _) in enumerate(self.parts):
            by[first:last] = number
        if source is None:
            return by >= 0
        numbers = [number for number, (*_, own) in enumerate(self.parts) if own == source]
        return np.isin(by, numbers)

    def missing(self, n_points: int) -> NDArray[np.bool_]:
        """Return which points are a gap, dims (point,)."""
        gap = np.zeros(n_points, dtype=bool)
        for first, last, _ in self.gaps:
            gap[first:last] = True
        return gap & ~self.complete(n_points)


def collect_expected(
    tables: Iterable[pa.Table], places: Collection[tuple[Any, int]]
) -> dict[tuple[Any, int], dict[str, ExpectedValues]]:
    """Collect the expected values of files from the ledger.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Ledger rows with at least the columns :data:`EXPECTED_COLUMNS`, in the order of their commits.
    places : collection of (datetime, int)
        Init time and lead time [min] of each file.

    Returns
    -------
    dict of (datetime, int) to dict of str to ExpectedValues
        For each file, variable name to expected values.
    """
    found: dict[tuple[Any, int], dict[str, ExpectedValues]] = {place: {} for place in places}
    inits = pa.array(sorted({init for init, _ in places}), pa.timestamp("s"))
    for table in tables:
        rows = table.filter(pc.is_in(table["init_time"], inits)).select(EXPECTED_COLUMNS)
        for init, lead, variable, outcome, first, last, source in zip(*(c.to_pylist() for c in rows), strict=True):
            if (init, lead) not in found:
                continue
            promise = found[init, lead].setdefault(variable, ExpectedValues())
            if outcome == "complete":
                promise.parts.append((first, last, source or ""))
            else:
                promise.gaps.append((first, last, outcome))
    return found


def draw_sample(number: int, sample: int, seed: int) -> NDArray[np.int64]:
    """Draw a stratified sample: one number from each of ``sample`` intervals of equal length.

    Parameters
    ----------
    number : int
        Size of the population.
    sample : int
        Number of draws.
    seed : int
        Seed of the random generator.

    Returns
    -------
    ndarray of int64, dims (drawn,)
        Ascending and unique, from 0 to before `number`; all if there are no more.

    Examples
    --------
    >>> draw_sample(3, 20, seed=1).tolist()
    [0, 1, 2]
    """
    if number <= sample:
        return np.arange(number)
    edges = np.arange(sample + 1) * number // sample
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:])
