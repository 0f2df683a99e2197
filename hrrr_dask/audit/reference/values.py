"""Reads every message of a file with ecCodes, and computes the values of the wanted ones at the points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.audit.reference.decoding import unpack
from hrrr_dask.audit.reference.geometry import Floats, Placement, chord, unit_vectors
from hrrr_dask.audit.reference.message_keys import Keys, read_keys, same_field, same_window
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import find_companion
from hrrr_dask.records import GribFile

__all__ = ["ULPS_OF_WIND", "Answer", "Obstacle", "read_values"]

ULPS_OF_WIND: Final = 4
"""Tolerance of a turned component, in units in the last place of the wind speed: its angle is measured here and
computed in the pipeline."""

ULPS_OF_A_MEAN: Final = 2
"""Tolerance of a weighted mean, in units in the last place of the largest of its four values,"""
SPREAD_OF_A_MEAN: Final = 1e-9
"""plus this share of the difference between the largest and the smallest: positions between cells agree to that."""

NO_WEIGHT: Final = 1e-6
"""Weight below which a cell may be missing on one route and not be used on the other."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Values of one variable in one file, dims (point,)."""

    values: NDArray[np.float32]
    """NaN where the message has none [the variable's units]."""
    tolerance: Floats
    """Allowed difference to another route's values; 0 for bit for bit."""
    may_be_missing: NDArray[np.bool_]
    """Where another route may have no value: almost all of its weight is on missing cells."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Reason why a file has no values of a variable."""

    reason: str
    """``message-not-found``, ``ambiguous-message``, ``wrong-identity``, ``truncated`` or ``decode-failed``."""
    note: str
    """Explanation for people."""

    @property
    def is_certain(self) -> bool:
        """Whether the whole file was read and has no such message; otherwise unknown."""
        return self.reason not in ("truncated", "decode-failed")


@dataclass(slots=True)
class _MatchedMessages:
    """Messages found for one selector while a file is read."""

    fields: list[NDArray[np.float32]]
    """Fields of matching messages, dims (point, neighbour)."""
    others: list[str]
    """Descriptions of messages with the same element and level that do not match."""
    obstacle: Obstacle | None = None
    """Problem of a matching message."""


def read_values(
    file: BinaryIO, about: GribFile, selectors: Iterable[Selector], placement: Placement
) -> dict[Selector, Answer | Obstacle]:
    """Read a whole GRIB file.

    Parameters
    ----------
    file : BinaryIO
        Local file, open for reading.
    about : GribFile
        Run and lead time that the file should have.
    selectors : iterable of Selector
        Selectors of the wanted messages.
    placement : Placement
        The points.

    Returns
    -------
    dict of Selector to Answer or Obstacle
        Result for each selector; wind is turned to east and north.
    """
    wanted = tuple(dict.fromkeys(selectors))
    both = tuple(dict.fromkeys([*wanted, *(found[0] for each in wanted if (found := find_companion(each)))]))
    seen = {selector: _MatchedMessages([], []) for selector in both}
    unread = _read_all(file, about, seen, placement)
    fields = {selector: _outcome(selector, what, unread) for selector, what in seen.items()}
    return {selector: _answer(selector, fields, placement) for selector in wanted}


def _read_all(
    file: BinaryIO, about: GribFile, seen: Mapping[Selector, _MatchedMessages], placement: Placement
) -> Obstacle | None:
    """Read every message; returns the reason if some could not be read."""
    unread: Obstacle | None = None
    number = 0
    while True:
        try:
            handle = eccodes.codes_grib_new_from_file(file)
        except eccodes.CodesInternalError as error:
            return Obstacle("truncated", f"the file cannot be read beyond message {number}: {error}")
        if handle is None:
            return unread if number else Obstacle("truncated", "the file has no GRIB message")
        number += 1
        try:
            _look(handle, about, seen, placement)
        except (eccodes.CodesInternalError, ValueError) as error:
            unread = Obstacle("decode-failed", f"message {number} of the file is damaged: {error}")
        finally:
            eccodes.codes_release(handle)


def _look(handle: int, about: GribFile, seen: Mapping[Selector, _MatchedMessages], placement: Placement) -> None:
    keys = read_keys(handle)
    if keys is None:
        return
    for selector, what in seen.items():
        if not same_field(keys, selector):
            continue
        if not same_window(keys, selector, about.lead_hours):
            what.others.append(keys.describe())
        elif wrong := _wrong(handle, keys, about, selector, placement):
            what.obstacle = Obstacle("wrong-identity", wrong)
        else:
            try:
                what.fields.append(_at_cells(handle, placement))
            except (eccodes.CodesInternalError, ValueError) as error:
                what.obstacle = Obstacle("decode-failed", f"ecCodes cannot unpack it: {error}")


def _wrong(handle: int, keys: Keys, about: GribFile, selector: Selector, placement: Placement) -> str:
    """Describe what is wrong with a message of the right element, level and window; empty if nothing is."""
    if keys.reference_time != about.init_time or keys.window is None or keys.window[2] != 60 * about.lead_hours:
        return f"the message is of {keys.describe()}"
    if find_companion(selector) is not None and not keys.along_grid:
        return "its components lie to the east and north already"
    if keys.grid_digest not in (placement.digest, *placement.known):
        placement.known[keys.grid_digest] = _same_cells(handle, placement)
    if not keys.from_south_west or not placement.known.get(keys.grid_digest, True):
        return "its grid is another one than the store's"
    return ""


SAME_CELL_RADIUS: Final = 150 / 6_371_229
"""Tolerance for cells of two grids to be the same: those of HRRR v1 and v2 differ by about 53 m [Earth radius]."""


def _same_cells(handle: int, placement: Placement) -> bool:
    """Return whether the points' cells have the same positions as on the store's grid, by the message's coordinates."""
    latitude, longitude = (eccodes.codes_get_array(handle, name) for name in ("latitudes", "longitudes"))
    if len(latitude) != placement.n_cells:
        return False
    here = unit_vectors(*(np.radians(degrees[placement.index]) for degrees in (latitude, longitude)))
    return bool((chord(here, placement.xyz) <= SAME_CELL_RADIUS).all())


def _at_cells(handle: int, placement: Placement) -> NDArray[np.float32]:
    field = unpack(handle)
    if len(field) != placement.n_cells:
        raise ValueError(f"it has {len(field):,} values for {placement.n_cells:,} cells")
    return field[placement.index].astype(np.float32)


def _outcome(selector: Selector, seen: _MatchedMessages, unread: Obstacle | None) -> NDArray[np.float32] | Obstacle:
    if len(seen.fields) > 1:
        return Obstacle("ambiguous-message", f"the file has {len(seen.fields)} messages of {selector}")
    if seen.fields:
        return seen.fields[0]
    if seen.obstacle is not None:
        return seen.obstacle
    if unread is not None:
        return unread
    others = f", but of {'; '.join(seen.others[:3])}" if seen.others else ""
    return Obstacle("message-not-found", f"the file has no message of {selector}{others}")


def _answer(
    selector: Selector, fields: Mapping[Selector, NDArray[np.float32] | Obstacle], placement: Placement
) -> Answer | Obstacle:
    field, companion = fields[selector], find_companion(selector)
    if isinstance(field, Obstacle):
        return field
    if companion is None:
        return _at_points(field.astype(np.float64), np.zeros(len(field)), placement)
    other, axis = companion
    partner = fields[other]
    if isinstance(partner, Obstacle):
        return Obstacle(partner.reason, f"{selector} cannot be turned: {partner.note}")
    x, y = (np.float64(each) for each in ((field, partner) if axis == 0 else (partner, field)))
    turned = x * placement.axes[..., 0, axis] + y * placement.axes[..., 1, axis]
    speed = _largest(np.hypot(x, y))
    return _at_points(turned, ULPS_OF_WIND * _ulp(speed), placement)


def _at_points(values: Floats, tolerance: Floats, placement: Placement) -> Answer:
    """Combine the neighbours of each point by their weights."""
    weight = placement.weight
    if weight.shape[1] == 1:
        return Answer(values[:, 0].astype(np.float32), tolerance, np.zeros(len(values), dtype=bool))
    known = np.where(weight < NO_WEIGHT, np.where(np.isnan(values), 0.0, values), values)
    summed = (known * weight).sum(axis=1)
    spread = _largest(values) - -_largest(-values)
    allowed = tolerance + ULPS_OF_A_MEAN * _ulp(_largest(np.abs(values))) + SPREAD_OF_A_MEAN * spread
    doubtful = np.asarray((np.isnan(values) & (weight < NO_WEIGHT)).any(axis=1))
    return Answer(summed.astype(np.float32), allowed, doubtful)


def _largest(values: Floats) -> Floats:
    """Return the largest absolute value of each point's neighbours; 0 where all are missing."""
    found: Floats = np.where(np.isnan(values), -np.inf, values).max(axis=1)
    return np.where(np.isneginf(found), 0.0, found)


def _ulp(scale: Floats) -> Floats:
    return np.spacing(scale.astype(np.float32)).astype(np.float64)
