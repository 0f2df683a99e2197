"""What a store's ledger says of each file: which values are there, from which object, and which are a gap. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["PROMISED", "Promise", "draw", "promises_of"]

PROMISED: Final = ("init_time", "lead_hours", "variable", "outcome", "first_point", "n_points", "source")
"""Columns of the ledger that :func:`promises_of` needs."""


@dataclass(slots=True)
class Promise:
    """What the ledger says of one variable in one file."""

    parts: list[tuple[int, int, str]] = field(default_factory=list)
    """Points that are there, from first to before last, and the object that they came from; a later part is newer."""
    gaps: list[tuple[int, int, str]] = field(default_factory=list)
    """Points that were tried in vain, and why; a later part is newer."""

    @property
    def sources(self) -> tuple[str, ...]:
        """The objects that values came from, the newest first."""
        return tuple(dict.fromkeys(source for *_, source in reversed(self.parts)))

    @property
    def reason(self) -> str:
        """The gap's, by the latest try."""
        return self.gaps[-1][2] if self.gaps else ""

    def complete(self, n_points: int, source: str | None = None) -> NDArray[np.bool_]:
        """Which points are there, dims (point,); with a source: which of them came from it."""
        by = np.full(n_points, -1)
        for number, (first, last, _) in enumerate(self.parts):
            by[first:last] = number
        if source is None:
            return by >= 0
        numbers = [number for number, (*_, own) in enumerate(self.parts) if own == source]
        return np.isin(by, numbers)

    def missing(self, n_points: int) -> NDArray[np.bool_]:
        """Which points are a gap, dims (point,)."""
        gap = np.zeros(n_points, dtype=bool)
        for first, last, _ in self.gaps:
            gap[first:last] = True
        return gap & ~self.complete(n_points)


def promises_of(
    tables: Iterable[pa.Table], places: Collection[tuple[Any, int]]
) -> dict[tuple[Any, int], dict[str, Promise]]:
    """Gather what the ledger says of some files.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Of the ledger, at least its columns :data:`PROMISED`, in the order in which they were committed.
    places : collection of (datetime, int)
        Init time and lead hour of each file that is wanted.

    Returns
    -------
    dict of (datetime, int) to dict of str to Promise
        For each file, variable name to what is said of it.
    """
    found: dict[tuple[Any, int], dict[str, Promise]] = {place: {} for place in places}
    inits = pa.array(sorted({init for init, _ in places}), pa.timestamp("s"))
    for table in tables:
        rows = table.filter(pc.is_in(table["init_time"], inits)).select(PROMISED)
        for init, lead, variable, outcome, first, last, source in zip(*(c.to_pylist() for c in rows), strict=True):
            if (init, lead) not in found:
                continue
            promise = found[init, lead].setdefault(variable, Promise())
            if outcome == "complete":
                promise.parts.append((first, last, source or ""))
            else:
                promise.gaps.append((first, last, outcome))
    return found


def draw(number: int, sample: int, seed: int) -> NDArray[np.int64]:
    """Draw evenly: one from each of so many stretches of equal length.

    Parameters
    ----------
    number : int
        How many there are.
    sample : int
        How many to draw.
    seed : int
        The same draws the same.

    Returns
    -------
    ndarray of int64, dims (drawn,)
        Ascending, each from 0 to before `number` and each once; all if there are no more.

    Examples
    --------
    >>> draw(3, 20, seed=1).tolist()
    [0, 1, 2]
    """
    if number <= sample:
        return np.arange(number)
    edges = np.arange(sample + 1) * number // sample
    return np.random.default_rng(seed).integers(edges[:-1], edges[1:])
