"""Reads all messages of a GRIB2 file with ecCodes, and computes the values of the wanted ones at the points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.audit.reference.decoding import decode_field
from hrrr_dask.audit.reference.geometry import Floats, PointCells, chord, unit_vectors
from hrrr_dask.audit.reference.message_keys import Keys, matches_field, matches_window, read_keys
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import find_companion
from hrrr_dask.records import Forecast

__all__ = ["ULPS_OF_WIND", "NoValues", "PointValues", "read_values"]

ULPS_OF_WIND: Final = 4
"""Tolerance of a turned wind component, in units in the last place of the wind speed: the angle is measured here, and
computed in the pipeline."""

ULPS_OF_A_MEAN: Final = 2
"""Tolerance of a weighted mean, in units in the last place of the largest of its four values."""

SPREAD_OF_A_MEAN: Final = 1e-9
"""Additional tolerance of a weighted mean, as a share of the difference between its largest and smallest value:
positions between cells agree to that."""

NO_WEIGHT: Final = 1e-6
"""Weight below which one reader may use a cell and the other may not."""


@dataclass(frozen=True, slots=True)
class PointValues:
    """Values of one variable of a file at one lead time, dims (point,)."""

    values: NDArray[np.float32]
    """Values, NaN where the message has none [unit of the variable]."""
    tolerance: Floats
    """Allowed difference from the stored values; 0 means equal bit for bit."""
    may_be_missing: NDArray[np.bool_]
    """Points where the store may have no value: a missing cell has almost no weight."""


@dataclass(frozen=True, slots=True)
class NoValues:
    """Reason why no values of a variable can be read from a file."""

    reason: str
    """``message-not-found``, ``ambiguous-message``, ``wrong-identity``, ``truncated`` or ``decode-failed``."""
    note: str
    """Human-readable explanation."""

    @property
    def is_certain(self) -> bool:
        """Whether the whole file was read and certainly has no valid message; false if it may have one."""
        return self.reason not in ("truncated", "decode-failed")


@dataclass(slots=True)
class _MatchedMessages:
    """Messages of a file that match one selector."""

    fields: list[NDArray[np.float32]]
    """Values of matching messages, dims (point, neighbour)."""
    other_windows: list[str]
    """Descriptions of messages with the same element and level, but another window."""
    problem: NoValues | None = None
    """Problem of a matching message that cannot be used."""


def read_values(
    file: BinaryIO, expected: Forecast, selectors: Iterable[Selector], cells: PointCells
) -> dict[Selector, PointValues | NoValues]:
    """Read the values of the wanted messages from a whole GRIB file.

    Parameters
    ----------
    file : BinaryIO
        Local file, open for reading; read from its start.
    expected : Forecast
        Expected run, and the lead time of the messages.
    selectors : iterable of Selector
        Selectors of the wanted messages.
    cells : PointCells
        Grid cells of the points.

    Returns
    -------
    dict of Selector to PointValues or NoValues
        Values or a reason for each selector; wind is turned to east and north.
    """
    wanted = tuple(dict.fromkeys(selectors))
    companions = (found[0] for each in wanted if (found := find_companion(each)))
    matched = {selector: _MatchedMessages([], []) for selector in (*wanted, *companions)}
    unread = _read_messages(file, expected, matched, cells)
    fields = {selector: _select_field(selector, messages, unread) for selector, messages in matched.items()}
    return {selector: _compute_values(selector, fields, cells) for selector in wanted}


def _read_messages(
    file: BinaryIO, expected: Forecast, matched: Mapping[Selector, _MatchedMessages], cells: PointCells
) -> NoValues | None:
    """Read all messages; returns the reason if some cannot be read."""
    file.seek(0)
    unread: NoValues | None = None
    number = 0
    while True:
        try:
            handle = eccodes.codes_grib_new_from_file(file)
        except eccodes.CodesInternalError as error:
            return NoValues("truncated", f"the file cannot be read beyond message {number}: {error}")
        if handle is None:
            return unread if number else NoValues("truncated", "the file has no GRIB message")
        number += 1
        try:
            _match_message(handle, expected, matched, cells)
        except (eccodes.CodesInternalError, ValueError) as error:
            unread = NoValues("decode-failed", f"message {number} of the file is damaged: {error}")
        finally:
            eccodes.codes_release(handle)


def _match_message(
    handle: int, expected: Forecast, matched: Mapping[Selector, _MatchedMessages], cells: PointCells
) -> None:
    """Add a message to the selectors that it matches."""
    keys = read_keys(handle)
    if keys is None:
        return
    for selector, messages in matched.items():
        if not matches_field(keys, selector):
            continue
        if not matches_window(keys, selector, expected.lead_minutes):
            messages.other_windows.append(keys.describe())
        elif mismatch := _find_mismatch(handle, keys, expected, selector, cells):
            messages.problem = NoValues("wrong-identity", mismatch)
        else:
            try:
                messages.fields.append(_decode_cells(handle, cells))
            except (eccodes.CodesInternalError, ValueError) as error:
                messages.problem = NoValues("decode-failed", f"ecCodes cannot decode it: {error}")


def _find_mismatch(handle: int, keys: Keys, expected: Forecast, selector: Selector, cells: PointCells) -> str:
    """Describe why a message with the right element, level and window cannot be used; empty if it can."""
    end = expected.lead_minutes
    if keys.reference_time != expected.file.init_time or keys.window is None or keys.window[2] != end:
        return f"the message is of {keys.describe()}"
    if find_companion(selector) is not None and not keys.along_grid:
        return "its components are already relative to east and north"
    if keys.grid_digest not in (cells.digest, *cells.other_grids):
        cells.other_grids[keys.grid_digest] = _has_same_cells(handle, cells)
    if not keys.from_south_west or not cells.other_grids.get(keys.grid_digest, True):
        return "its grid differs from the store's"
    return ""


SAME_CELL_RADIUS: Final = 150 / 6_371_229
"""Maximum distance between the same cells of two grids; HRRR v1 and v2 differ by about 53 m [Earth radius]."""


def _has_same_cells(handle: int, cells: PointCells) -> bool:
    """Return whether a message's grid has the points' cells at the same positions as the store's grid."""
    latitude, longitude = (eccodes.codes_get_array(handle, name) for name in ("latitudes", "longitudes"))
    if len(latitude) != cells.n_cells:
        return False
    xyz = unit_vectors(*(np.radians(degrees[cells.index]) for degrees in (latitude, longitude)))
    return bool((chord(xyz, cells.xyz) <= SAME_CELL_RADIUS).all())


def _decode_cells(handle: int, cells: PointCells) -> NDArray[np.float32]:
    field = decode_field(handle)
    if len(field) != cells.n_cells:
        raise ValueError(f"it has {len(field):,} values for {cells.n_cells:,} cells")
    return field[cells.index].astype(np.float32)


def _select_field(
    selector: Selector, messages: _MatchedMessages, unread: NoValues | None
) -> NDArray[np.float32] | NoValues:
    """Return the only field that matches a selector, or the reason why there is none."""
    if len(messages.fields) > 1:
        return NoValues("ambiguous-message", f"the file has {len(messages.fields)} messages of {selector}")
    if messages.fields:
        return messages.fields[0]
    if messages.problem is not None:
        return messages.problem
    if unread is not None:
        return unread
    others = f", only of {'; '.join(messages.other_windows[:3])}" if messages.other_windows else ""
    return NoValues("message-not-found", f"the file has no message of {selector}{others}")


def _compute_values(
    selector: Selector, fields: Mapping[Selector, NDArray[np.float32] | NoValues], cells: PointCells
) -> PointValues | NoValues:
    """Turn wind to east and north, and combine the cells of each point."""
    field, companion = fields[selector], find_companion(selector)
    if isinstance(field, NoValues):
        return field
    if companion is None:
        return _combine_cells(field.astype(np.float64), np.zeros(len(field)), cells)
    other, axis = companion
    partner = fields[other]
    if isinstance(partner, NoValues):
        return NoValues(partner.reason, f"{selector} cannot be turned: {partner.note}")
    x, y = (np.float64(each) for each in ((field, partner) if axis == 0 else (partner, field)))
    turned = x * cells.axes[..., 0, axis] + y * cells.axes[..., 1, axis]
    speed = _largest(np.hypot(x, y))
    return _combine_cells(turned, ULPS_OF_WIND * _ulp(speed), cells)


def _combine_cells(values: Floats, tolerance: Floats, cells: PointCells) -> PointValues:
    """Combine the cells of each point by their weights."""
    weight = cells.weight
    if weight.shape[1] == 1:
        return PointValues(values[:, 0].astype(np.float32), tolerance, np.zeros(len(values), dtype=bool))
    used = np.where(np.isnan(values) & (weight < NO_WEIGHT), 0.0, values)
    mean = (used * weight).sum(axis=1)
    spread = _largest(values) + _largest(-values)
    allowed = tolerance + ULPS_OF_A_MEAN * _ulp(_largest(np.abs(values))) + SPREAD_OF_A_MEAN * spread
    doubtful = np.asarray((np.isnan(values) & (weight < NO_WEIGHT)).any(axis=1))
    return PointValues(mean.astype(np.float32), allowed, doubtful)


def _largest(values: Floats) -> Floats:
    """Return the maximum over the cells of each point; 0 where all are missing."""
    largest: Floats = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return np.where(np.isneginf(largest), 0.0, largest)


def _ulp(scale: Floats) -> Floats:
    return np.spacing(scale.astype(np.float32)).astype(np.float64)
