"""Reduces the ledger to what it says of each day, with a fingerprint by which a change is noticed. Pure.

The fingerprint depends on the state and not on the attempts that led to it: a gap that is tried again without success
changes nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hrrr_dask.config.settings import Selection
from hrrr_dask.ledger.state import missing, place_rows
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.tables.schema import ROWS_VERSION, TableSpec

__all__ = ["COLUMNS", "DayRows", "collect_days"]

COLUMNS: Final = (
    *("init_time", "lead_minutes", "variable", "outcome", "first_point", "n_points"),
    *("source", "checksum"),
)
"""Columns of the ledger that :func:`collect_days` reads."""


@dataclass(frozen=True, slots=True)
class DayRows:
    """What the ledger says of the values of one day. Gaps come first, so that values take their place."""

    day: date
    """UTC date of init_time."""
    fingerprint: str
    """Of all of this, and of the table."""
    cycle: NDArray[np.int64]
    """Position of the run in the day, dims (row,)."""
    lead: NDArray[np.int64]
    """Position of the lead time, dims (row,)."""
    variable: NDArray[np.int64]
    """Position in the table's variables, dims (row,)."""
    code: NDArray[np.uint8]
    """Number of the outcome, dims (row,)."""
    first_point: NDArray[np.int64]
    """First point that it is about, dims (row,)."""
    n_points: NDArray[np.int64]
    """One past the last point, dims (row,)."""
    source: NDArray[np.int64]
    """Position in :attr:`sources`, dims (row,)."""
    sources: tuple[str, ...]
    """Objects of the archive."""


def collect_days(
    tables: Iterable[pa.Table], spec: TableSpec, selection: Selection, inits: slice, positions: Sequence[int]
) -> list[DayRows]:
    """Collect what the ledger says of each day that has values, or gaps if they are rows of the table.

    Parameters
    ----------
    tables : iterable of pyarrow.Table
        Ledger rows with at least :data:`COLUMNS`, in the order of their commits.
    spec : TableSpec
        The table.
    selection : Selection
        Variables and lead times of the store.
    inits : slice
        Range of positions on the axis, of whole days.
    positions : sequence of int
        Position of each of the table's variables in the store's.

    Returns
    -------
    list of DayRows
        Ascending by day.
    """
    numbers = np.full(len(selection.variables), -1)
    numbers[list(positions)] = np.arange(len(positions))
    words: dict[str, int] = {}
    parts = [_columns(table, spec, selection, inits, numbers, words) for table in tables]
    if not parts or not sum(len(part[0]) for part in parts):
        return []
    code, day, cycle, lead, variable, first, last, source, checksum = (
        np.concatenate(each) for each in zip(*parts, strict=True)
    )
    complete = code == COMPLETE
    # Stable, so that of equal keys the latest attempt is the last.
    order = np.lexsort((last, first, variable, lead, cycle, complete, day))
    keys = np.stack([day, complete, cycle, lead, variable, first, last])[:, order]
    kept = order[np.append((keys[:, 1:] != keys[:, :-1]).any(axis=0), True)]
    digests = _PointDigests(spec)
    names, found = list(words), []
    ranks = np.argsort(np.argsort(np.array(names)))  # by name, whatever their order in the ledger
    names.sort()
    for number in np.unique(day):
        at = kept[day[kept] == number]
        used, own = np.unique(ranks[source[at]], return_inverse=True)
        columns = (cycle[at], lead[at], variable[at], code[at], first[at], last[at], own)
        sources = tuple(names[k] for k in used)
        fingerprint = _fingerprint(spec, digests, columns, checksum[at], sources)
        first_day = inits.start // spec.cycles
        found.append(DayRows(spec.day_at(first_day + int(number)), fingerprint, *columns, sources))
    return found


def _columns(
    table: pa.Table, spec: TableSpec, selection: Selection, inits: slice, numbers: NDArray[Any], words: dict[str, int]
) -> tuple[NDArray[Any], ...]:
    """Return the rows that matter as arrays; ``words`` numbers the sources."""
    placed = place_rows(table, selection, spec.axis, inits)
    variables, at, leads = placed.place
    wanted = (numbers[variables] >= 0) & ((placed.codes == COMPLETE) | (spec.with_gaps & missing(placed.codes)))
    rows = placed.rows[wanted]
    day, cycle = np.divmod(at[wanted], spec.cycles)
    first, last = (table[name].to_numpy()[rows].astype(np.int64) for name in ("first_point", "n_points"))
    kept = first < np.minimum(last, len(spec.point_id))  # points of a step of growth that is not published yet
    checksum = pc.fill_null(table["checksum"].cast(pa.int64()), -1).to_numpy()[rows]
    source = _numbered(table["source"], words)[rows]
    found = (placed.codes[wanted], day, cycle, leads[wanted], numbers[variables[wanted]], first, last, source, checksum)
    return tuple(column[kept] for column in found)


def _numbered(column: pa.ChunkedArray, words: dict[str, int]) -> NDArray[np.int64]:
    """Translate a column of words into numbers, which new words get in ``words``."""
    combined = pc.fill_null(column.cast(pa.string()), "").combine_chunks().dictionary_encode()
    if isinstance(combined, pa.ChunkedArray):
        combined = combined.unify_dictionaries().combine_chunks()
    own = [words.setdefault(word, len(words)) for word in combined.dictionary.to_pylist()]
    numbers: NDArray[np.int64] = np.asarray([*own, -1], dtype=np.int64)[combined.indices.to_numpy()]
    return numbers


class _PointDigests:
    """Digests of the first so many points of a table."""

    def __init__(self, spec: TableSpec) -> None:
        self._spec = spec
        self._known: dict[int, str] = {}

    def __call__(self, n_points: int) -> str:
        if n_points not in self._known:
            spec = self._spec
            ids = json.dumps(spec.point_id[:n_points]).encode()
            places = (array[:n_points].astype("<f8").tobytes() for array in (spec.latitude, spec.longitude))
            self._known[n_points] = hashlib.sha256(b"\0".join((ids, *places))).hexdigest()
        return self._known[n_points]


def _fingerprint(
    spec: TableSpec,
    digests: _PointDigests,
    columns: tuple[NDArray[Any], ...],
    checksum: NDArray[Any],
    sources: tuple[str, ...],
) -> str:
    used = range(len(spec.variables)) if spec.shape == "wide" else np.unique(columns[2]).tolist()
    about = {
        "version": ROWS_VERSION,
        "layout": spec.shape,
        "gaps": spec.with_gaps,
        "variables": [[spec.variables[k], spec.units[k]] for k in used],
        "lead_minutes": spec.lead_minutes,
        "cycles": spec.axis.cycles,
        "points": digests(int(columns[5].max())),
        "sources": sources,
    }
    digest = hashlib.sha256(json.dumps(about).encode())
    # Numbers of the variables that the day has, so that a long table does not change when others are added.
    ranks = np.searchsorted(np.asarray(used), columns[2])
    for column in (columns[0], columns[1], ranks, *columns[3:], checksum):
        digest.update(np.ascontiguousarray(column, dtype="<i8").tobytes())
    return digest.hexdigest()[:20]
