"""Reduces the ledger's rows to the current state of every value: complete, missing, or to be retried. Pure.

The order of the rows does not matter, except for the reason of a gap, which is that of the latest attempt. A value that
is once complete stays complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hrrr_dask.config.settings import Selection
from hrrr_dask.outcomes import COMPLETE, NEVER, NOT_INGESTED, NOT_OFFERED, OUTCOMES, PARTIAL, outcome_numbered
from hrrr_dask.planning.layout import Axis
from hrrr_dask.planning.plan import MissingValues, offered

__all__ = [
    "COLUMNS",
    "HEALING_DAYS",
    "Placed",
    "ValueStates",
    "available_at",
    "count_attempts",
    "count_gaps",
    "find_missing_values",
    "missing",
    "place_rows",
    "quality_of",
    "reduce_rows",
]

_SILENT: Final = (NOT_INGESTED, COMPLETE, NOT_OFFERED, PARTIAL)

HEALING_DAYS: Final = 7
"""Age of a run up to which missing files may still be published [d]."""

COLUMNS: Final = ("init_time", "lead_minutes", "variable", "outcome", "first_point", "n_points")
"""Columns of the ledger that :func:`reduce_rows` reads."""


@dataclass(frozen=True, slots=True)
class ValueStates:
    """State of the values of a range of init times."""

    codes: NDArray[np.uint8]
    """Outcome numbers, dims (variable, init_time, lead_time); complete only if every point is, or if nothing was
    tried since points were added."""
    covered: NDArray[np.unsignedinteger]
    """Bit c is set if the points of cohort c have values, dims (variable, init_time, lead_time)."""
    cohorts: tuple[int, ...]
    """Number of points after each time that points were added, ascending."""

    @property
    def full(self) -> int:
        """Value of ``covered`` when all points have values."""
        return (1 << len(self.cohorts)) - 1

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Whether every point has a value, dims (variable, init_time, lead_time)."""
        found: NDArray[np.bool_] = self.covered == self.full
        return found

    @property
    def first_point(self) -> NDArray[np.int32]:
        """First point without a value, dims (variable, init_time, lead_time)."""
        starts = np.array([0, *self.cohorts], dtype=np.int32)
        first = np.zeros(self.covered.shape, dtype=np.int32)
        reached = np.ones(self.covered.shape, dtype=bool)
        for c in range(len(self.cohorts)):
            reached &= (self.covered >> self.covered.dtype.type(c)) & 1 == 1
            first[reached] = starts[c + 1]
        return first

    @property
    def published_codes(self) -> NDArray[np.uint8]:
        """Outcome numbers, partial where points were added since, dims (variable, init_time, lead_time)."""
        codes: NDArray[np.uint8] = np.where((self.codes == COMPLETE) & ~self.whole, PARTIAL, self.codes)
        return codes.astype(np.uint8)

    @property
    def attempted(self) -> NDArray[np.bool_]:
        """Files with at least one row in the ledger, dims (init_time, lead_time)."""
        found: NDArray[np.bool_] = ((self.codes != NOT_INGESTED) & (self.codes != NOT_OFFERED)).any(axis=0)
        return found

    def status(self) -> NDArray[np.uint8]:
        """Gravest outcome of each file, ignoring variables that are not offered, dims (init_time, lead_time)."""
        codes = self.published_codes
        absent, untouched = codes == NOT_OFFERED, codes == NOT_INGESTED
        begun = ~(absent | untouched).all(axis=0)
        codes = np.where(absent, NOT_INGESTED, np.where(untouched & begun, PARTIAL, codes))
        gravest: NDArray[np.uint8] = codes.max(axis=0).astype(np.uint8)
        gravest[absent.all(axis=0)] = NOT_OFFERED
        return gravest


@dataclass(frozen=True, slots=True)
class Placed:
    """Ledger rows and their positions on the axes."""

    place: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    """Positions (variable, init_time, lead_time)."""
    codes: NDArray[np.uint8]
    """Outcome numbers."""
    rows: NDArray[np.int64]
    """Positions of the rows in the table."""


def reduce_rows(
    tables: Iterable[pa.Table], selection: Selection, axis: Axis, inits: slice, cohorts: Sequence[int]
) -> ValueStates:
    """Reduce ledger rows to the state of each value.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Ledger rows with at least :data:`COLUMNS`; consumed one by one, so that none stays in memory.
    selection : Selection
        Variables and lead times of the store.
    axis : Axis
        The store's axis.
    inits : slice
        Range of positions on the axis.
    cohorts : sequence of int
        Number of points after each time that points were added.

    Returns
    -------
    ValueStates
        Values without a row are not-ingested or not-in-this-era.
    """
    shape = (len(selection.variables), inits.stop - inits.start, len(selection.lead_minutes))
    codes = np.full(shape, NOT_INGESTED, dtype=np.uint8)
    covered = np.zeros(shape, dtype=_mask_type(len(cohorts)))
    for table in tables:
        placed = place_rows(table, selection, axis, inits)
        codes[placed.place] = placed.codes  # of repeated positions numpy keeps the last, which is the latest attempt
        _cover(covered, placed, table, cohorts)
    codes[covered == (1 << len(cohorts)) - 1] = COMPLETE
    for start in range(0, shape[1], _STRIDE):
        part = slice(start, min(start + _STRIDE, shape[1]))
        there = offered(selection, [axis.init_time(inits.start + k) for k in range(part.start, part.stop)])
        here = codes[:, part]
        here[(here == NOT_INGESTED) & ~there] = NOT_OFFERED
    return ValueStates(codes, covered, tuple(cohorts))


_STRIDE: Final = 10_000
"""Number of init times for which the catalogue is evaluated at once."""


def _mask_type(n_cohorts: int) -> type[np.unsignedinteger]:
    types: tuple[type[np.unsignedinteger], ...] = (np.uint8, np.uint16, np.uint32, np.uint64)
    return next(kind for kind in types if np.dtype(kind).itemsize * 8 >= n_cohorts)


def _cover(covered: NDArray[np.unsignedinteger], placed: Placed, table: pa.Table, cohorts: Sequence[int]) -> None:
    complete = placed.codes == COMPLETE
    if not complete.any():
        return
    first = table["first_point"].to_numpy()[placed.rows[complete]]
    last = table["n_points"].to_numpy()[placed.rows[complete]]
    place = tuple(index[complete] for index in placed.place)
    starts = [0, *cohorts[:-1]]
    for c, (start, stop) in enumerate(zip(starts, cohorts, strict=True)):
        holds = (first <= start) & (last >= stop)
        covered[tuple(index[holds] for index in place)] |= covered.dtype.type(1 << c)


def place_rows(table: pa.Table, selection: Selection, axis: Axis, inits: slice) -> Placed:
    """Locate ledger rows on the axes; rows that are on none of them are dropped."""
    hours = table["init_time"].to_numpy().astype("datetime64[h]").astype(np.int64)
    first = np.datetime64(axis.first_day, "h").astype(np.int64)
    day, hour = np.divmod(hours - first, 24)
    cycles = _positions(hour, axis.cycles)
    at = day * len(axis.cycles) + cycles - inits.start
    leads = _positions(table["lead_minutes"].to_numpy(), selection.lead_minutes)
    names = _coded(table["variable"], {variable.name: k for k, variable in enumerate(selection.variables)})
    codes = _coded(table["outcome"], {outcome.name: outcome.number for outcome in OUTCOMES.values()})
    known = (names >= 0) & (codes >= 0) & (cycles >= 0) & (at >= 0) & (at < inits.stop - inits.start) & (leads >= 0)
    return Placed((names[known], at[known], leads[known]), codes[known].astype(np.uint8), np.flatnonzero(known))


def available_at(tables: Iterable[pa.Table], selection: Selection, axis: Axis, inits: slice) -> NDArray[np.int64]:
    """Return since when the source file of the values has been in the archive.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Ledger rows with all columns.
    selection, axis, inits
        As for :func:`reduce_rows`.

    Returns
    -------
    ndarray of int64, dims (init_time, lead_time)
        Latest Last-Modified of the source objects [s since 1970-01-01]; :data:`NEVER` without values, or if a source
        gave no time.
    """
    shape = (len(selection.variables), inits.stop - inits.start, len(selection.lead_minutes))
    found = np.full(shape, NEVER, dtype=np.int64)
    there = np.zeros(shape, dtype=bool)
    for table in tables:
        placed = place_rows(table, selection, axis, inits)
        complete = placed.codes == COMPLETE
        seconds = table["published"].cast(pa.int64()).fill_null(NEVER).to_numpy()[placed.rows[complete]]
        place = tuple(index[complete] for index in placed.place)
        np.maximum.at(found, place, seconds)
        there[place] = True
    latest: NDArray[np.int64] = found.max(axis=0)
    latest[(there & (found == NEVER)).any(axis=0)] = NEVER
    return latest


def quality_of(tables: Iterable[pa.Table], selection: Selection, axis: Axis, inits: slice) -> NDArray[np.uint16]:
    """Return the flags of :mod:`hrrr_dask.quality.flags` that any value of a file has, dims (init_time, lead_time)."""
    found = np.zeros((inits.stop - inits.start, len(selection.lead_minutes)), dtype=np.uint16)
    for table in tables:
        placed = place_rows(table, selection, axis, inits)
        np.bitwise_or.at(found, placed.place[1:], table["flags"].to_numpy()[placed.rows])
    return found


def count_attempts(tables: Iterable[pa.Table], selection: Selection, axis: Axis, inits: slice) -> NDArray[np.int32]:
    """Count the attempts at each value so far, dims (variable, init_time, lead_time)."""
    shape = (len(selection.variables), inits.stop - inits.start, len(selection.lead_minutes))
    tried = np.zeros(shape, dtype=np.int32)
    for table in tables:
        np.add.at(tried, place_rows(table, selection, axis, inits).place, 1)
    return tried


def find_missing_values(
    states: ValueStates, axis: Axis, inits: slice, now: datetime, *, retry_gaps: bool = False
) -> MissingValues:
    """Return which values are to be read.

    Parameters
    ----------
    states : ValueStates
        State of the values of ``inits``.
    axis : Axis
        The store's axis.
    inits : slice
        Range of positions on the axis.
    now : datetime
        Current time, UTC.
    retry_gaps : bool
        Retry every gap, however old.

    Returns
    -------
    MissingValues
        Values that were never read, gaps to be retried, and points that were added since.
    """
    heals = np.array([outcome_numbered(number).heals for number in range(len(OUTCOMES))])
    always, young = (heals == "always")[states.codes], (heals == "young")[states.codes]
    oldest = now - timedelta(days=HEALING_DAYS)
    again = [retry_gaps or axis.init_time(k) >= oldest for k in range(inits.start, inits.stop)]
    grown = (states.codes == COMPLETE) & ~states.whole
    wanted = always | grown | (young & np.array(again, dtype=bool)[None, :, None])
    return MissingValues(inits.start, wanted, states.first_point if len(states.cohorts) > 1 else None)


def count_gaps(codes: NDArray[np.uint8]) -> dict[str, int]:
    """Count the values that the archive does not have, by reason."""
    numbers = np.bincount(codes.ravel(), minlength=len(OUTCOMES))
    counts = Counter({o.name: int(numbers[o.number]) for o in OUTCOMES.values() if o.number not in _SILENT})
    return {name: count for name, count in counts.most_common() if count}


def missing(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which values are missing for a reason of the archive; same dims as ``codes``."""
    return ~np.isin(codes, _SILENT)


def _positions(values: NDArray[np.int64], axis: Sequence[int]) -> NDArray[np.int64]:
    """Return the index of each value on a small ascending axis; -1 if it is not on it."""
    table = np.full(max([*axis, int(values.max(initial=0))]) + 1, -1, dtype=np.int64)
    table[list(axis)] = np.arange(len(axis))
    return table[values]


def _coded(column: pa.ChunkedArray, numbers: dict[str, int]) -> NDArray[np.int64]:
    """Translate a dictionary column into numbers; -1 for unknown words."""
    combined = column.combine_chunks()
    words = [numbers.get(word, -1) for word in combined.dictionary.to_pylist()]
    numbered: NDArray[np.int64] = np.asarray([*words, -1], dtype=np.int64)[combined.indices.to_numpy()]
    return numbered
