"""Makes rows of a table from the values of one run at some points, and from what the ledger says of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hrrr_dask.outcomes import COMPLETE, OUTCOMES
from hrrr_dask.tables.ledger_days import DayRows
from hrrr_dask.tables.schema import TableSpec

__all__ = ["Block", "make_rows"]

_MINUTE_US: Final = 60_000_000
_NAMES: Final = {outcome.number: outcome.name for outcome in OUTCOMES.values()}
_REASONS: Final = pa.array([_NAMES.get(number, "") for number in range(max(_NAMES) + 1)])


@dataclass(frozen=True, slots=True)
class Block:
    """Values of one run."""

    cycle: int
    """Position of the run in the day."""
    first_lead: int
    """Position of the first lead time."""
    first_point: int
    """Position of the first point."""
    values: NDArray[np.float32]
    """Values, dims (lead_time, variable, point)."""


def make_rows(spec: TableSpec, day: DayRows, block: Block) -> pa.Table:
    """Make the rows of a block, in the order of lead time, variable and point.

    Parameters
    ----------
    spec : TableSpec
        The table.
    day : DayRows
        What the ledger says.
    block : Block
        Values of the store. Those that the ledger does not call complete do not matter.

    Returns
    -------
    pyarrow.Table
        With the columns of :attr:`TableSpec.file_schema`.
    """
    code, source = _spread(day, block)
    valued = (code == COMPLETE) & ~np.isnan(block.values)
    kept = code > 0 if spec.with_gaps else valued
    return (_long if spec.shape == "long" else _wide)(spec, day, block, _State(code, source, valued, kept))


@dataclass(frozen=True, slots=True)
class _State:
    """State of the values of a block, each with dims (lead_time, variable, point)."""

    code: NDArray[np.uint8]
    source: NDArray[np.int32]
    valued: NDArray[np.bool_]
    kept: NDArray[np.bool_]


def _spread(day: DayRows, block: Block) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return the outcome of each value, 0 where the ledger has none, and the position of its source."""
    n_leads, _, size = block.values.shape
    code = np.zeros(block.values.shape, dtype=np.uint8)
    source = np.zeros(block.values.shape, dtype=np.int32)
    lead = day.lead - block.first_lead
    start = np.maximum(day.first_point - block.first_point, 0)
    stop = np.minimum(day.n_points - block.first_point, size)
    here = np.flatnonzero((day.cycle == block.cycle) & (lead >= 0) & (lead < n_leads) & (start < stop))
    columns = (lead, day.variable, start, stop, day.code, day.source)
    for k, v, first, last, own, origin in zip(*(column[here].tolist() for column in columns), strict=True):
        code[k, v, first:last] = own
        source[k, v, first:last] = origin
    return code, source


def _long(spec: TableSpec, day: DayRows, block: Block, state: _State) -> pa.Table:
    at = np.flatnonzero(state.kept)
    lead, variable, point = np.unravel_index(at, state.kept.shape)
    values, valued = block.values.reshape(-1)[at], state.valued.reshape(-1)[at]
    columns = {
        **_places(spec, day, block, lead, point),
        "variable": _words(variable, spec.variables),
        "value": pa.array(values, mask=~valued) if spec.with_gaps else pa.array(values),
        "units": _words(variable, spec.units),
        "source": _words(state.source.reshape(-1)[at], day.sources),
    }
    if spec.with_gaps:
        columns["gap"] = _reasons(state.code.reshape(-1)[at])
    return pa.table(columns, schema=spec.file_schema)


def _wide(spec: TableSpec, day: DayRows, block: Block, state: _State) -> pa.Table:
    lead, point = np.nonzero(state.kept.any(axis=1))
    valued = state.valued[lead, :, point]  # dims (row, variable)
    kept = state.kept[lead, :, point]
    of_row = np.where(valued.any(axis=1), valued.argmax(axis=1), kept.argmax(axis=1))
    columns: dict[str, Any] = dict(_places(spec, day, block, lead, point))
    for v, name in enumerate(spec.variables):
        columns[name] = pa.array(block.values[lead, v, point], mask=~valued[:, v])
    columns["source"] = _words(state.source[lead, of_row, point], day.sources)
    if spec.with_gaps:
        codes = state.code[lead, :, point]
        columns["gap"] = _reasons(np.where(codes == COMPLETE, 0, codes).max(axis=1, initial=0))
    return pa.table(columns, schema=spec.file_schema)


def _places(
    spec: TableSpec, day: DayRows, block: Block, lead: NDArray[np.int64], point: NDArray[np.int64]
) -> dict[str, pa.Array]:
    init = spec.axis.init_time(spec.day_number(day.day) * spec.cycles + block.cycle)
    init_us = np.datetime64(init, "us").astype(np.int64)
    minutes = np.asarray(spec.lead_minutes[block.first_lead :], dtype=np.int64)
    size = block.values.shape[2]
    places = slice(block.first_point, block.first_point + size)
    utc = spec.file_schema.field("init_time").type
    return {
        "init_time": pa.array(np.full(len(lead), init_us), pa.int64()).cast(utc),
        "lead_time_h": pa.array((minutes / 60)[lead]),
        "valid_time": pa.array((init_us + _MINUTE_US * minutes)[lead], pa.int64()).cast(utc),
        "point_id": _words(point, spec.point_id[places]),
        "latitude": pa.array(spec.latitude[places][point]),
        "longitude": pa.array(spec.longitude[places][point]),
    }


def _words(numbers: NDArray[Any], words: Sequence[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(numbers.astype(np.int32), pa.array(words, pa.string()))


def _reasons(codes: NDArray[Any]) -> pa.DictionaryArray:
    """Reasons of gaps; null for values, also for those that are undefined in the archive's file."""
    is_value = (codes == COMPLETE) | (codes == 0)
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=is_value), _REASONS)
