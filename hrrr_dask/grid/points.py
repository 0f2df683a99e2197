"""The places that are asked for: read from a file or a table, every fault named at once.

Three forms of text are understood, UTF-8, with or without a byte order mark:

- CSV with a header: ``latitude, longitude`` and optionally ``point_id``, ``name``, in any order and case;
- CSV without one: ``latitude, longitude`` on each line, ``#`` starts a comment;
- GeoJSON (RFC 7946): Point features, one feature, or a Point or MultiPoint geometry.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import PointsError
from hrrr_dask.grid.point_files import Row, csv_rows, frame_rows, geojson_rows, is_number, read_text, shortened, text_of
from hrrr_dask.objects.locations import shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Points", "read_points"]

_FAULTS_SHOWN: Final = 20

MOST_LETTERS: Final = 256
"""Of an id or a name: a store repeats them, and so do its readers."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Points:
    """Places with names, in the order in which they were given.

    Raises
    ------
    PointsError
        If there are none, lengths differ, a coordinate is no place, or an id is empty, unprintable or used twice.
    """

    point_id: tuple[str, ...]
    """dims (point,): unique."""
    name: tuple[str, ...]
    """dims (point,): for people."""
    latitude: NDArray[np.float64]
    """dims (point,), read-only [degrees_north]."""
    longitude: NDArray[np.float64]
    """dims (point,), read-only, -180 to 180; may be given as 0 to 360 [degrees_east]."""

    def __post_init__(self) -> None:
        for field in ("point_id", "name"):
            object.__setattr__(self, field, tuple(map(str, getattr(self, field))))
        latitude = np.array(self.latitude, np.float64) + 0.0  # turns -0.0, which has other bytes, into 0.0
        longitude = np.array(self.longitude, np.float64) + 0.0
        if not (latitude.shape == longitude.shape == (len(self.point_id),) == (len(self.name),)):
            raise PointsError(
                "wanted one point_id, name, latitude and longitude for each point; found "
                f"{len(self.point_id)}, {len(self.name)}, {latitude.shape} and {longitude.shape}"
            )
        spots = [f"point {number}" for number in range(len(self.point_id))]
        _refuse_faults(_faults(self.point_id, self.name, latitude, longitude, spots), spots, "the points")
        longitude[longitude > 180] -= 360
        for field, values in (("latitude", latitude), ("longitude", longitude)):
            values.flags.writeable = False
            object.__setattr__(self, field, values)

    def __len__(self) -> int:
        return len(self.point_id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Points):
            return NotImplemented
        return (self.name, self.point_id, *self._bytes()) == (other.name, other.point_id, *other._bytes())

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"<Points: {len(self)} from {self.point_id[0]!r} to {self.point_id[-1]!r}, digest {self.digest()}>"

    def __reduce__(self) -> tuple[type[Points], tuple[object, ...]]:
        """Pickle through the constructor: pickled arrays would come back writeable."""
        return Points, (self.point_id, self.name, self.latitude, self.longitude)

    def digest(self) -> str:
        """Sixteen hexadecimal digits that stand for the ids and coordinates, in their order; names do not count."""
        ids = json.dumps(self.point_id).encode()
        return hashlib.sha256(b"\0".join((ids, *self._bytes()))).hexdigest()[:16]

    def places(self) -> dict[str, tuple[float, float]]:
        """Point id to latitude and longitude."""
        return dict(zip(self.point_id, zip(self.latitude.tolist(), self.longitude.tolist(), strict=True), strict=True))

    def take(self, positions: Sequence[int]) -> Points:
        """Some of the points, in that order."""
        at = list(positions)
        return Points(
            tuple(self.point_id[k] for k in at),
            tuple(self.name[k] for k in at),
            self.latitude[at],
            self.longitude[at],
        )

    def joined(self, more: Points) -> Points:
        """These points, then those; no id may be in both."""
        return Points(
            self.point_id + more.point_id,
            self.name + more.name,
            np.concatenate([self.latitude, more.latitude]),
            np.concatenate([self.longitude, more.longitude]),
        )

    def _bytes(self) -> tuple[bytes, bytes]:
        return self.latitude.astype("<f8").tobytes(), self.longitude.astype("<f8").tobytes()


def _is_table(source: object) -> TypeGuard[pd.DataFrame]:
    """Whether it is a pandas DataFrame; a program that has made one has imported pandas, others need not."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def read_points(source: str | os.PathLike[str] | pd.DataFrame | Points) -> Points:
    """Read and check points.

    Parameters
    ----------
    source : path, DataFrame or Points
        A file in one of the module's three forms, or a table with the columns of the first. Longitudes are -180 to
        180 or 0 to 360. Points without ids are called ``p0000``, ``p0001`` and so on by their order; points without
        a name are named by their id.

    Returns
    -------
    Points
        In the order of the source.

    Raises
    ------
    PointsError
        If the source cannot be read, or a row of it cannot be used; the text lists all such rows, up to twenty.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"Lat": [43.6], "Lon": [240.5], "id": ["boise"]})
    >>> points = read_points(table)
    >>> points.point_id, points.longitude.tolist()
    (('boise',), [-119.5])
    """
    if isinstance(source, Points):
        return source
    if _is_table(source):
        return _checked(frame_rows(source), "the points table", "row")
    if not isinstance(source, str | os.PathLike):
        raise PointsError(f"wanted points as a path, a pandas DataFrame or Points, found {type(source).__name__}")
    path = os.fsdecode(source)
    label = f"points file {shown(path)!r}"
    text = read_text(path, label)
    if text.lstrip()[:1] in ("{", "["):
        return _checked(geojson_rows(text, label), label, "feature")
    return _checked(csv_rows(text, label), label, "line")


def _checked(rows: Sequence[Row], label: str, word: str) -> Points:
    if not rows:
        raise PointsError(f"{label} has no points; wanted a {word} with latitude and longitude for each")
    spots = [f"{word} {row.number}" for row in rows]
    ids = [text_of(row.point_id) for row in rows]
    if not any(ids):
        ids = [f"p{number:04d}" for number in range(len(rows))]
    names = [text_of(row.name) or point_id for row, point_id in zip(rows, ids, strict=True)]
    latitude, longitude = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    unreadable = {}
    for at, row in enumerate(rows):
        latitude[at], no_latitude = _number(row.latitude, "latitude")
        longitude[at], no_longitude = _number(row.longitude, "longitude")
        if fault := row.fault or no_latitude or no_longitude:
            unreadable[at] = fault
    faults = _faults(ids, names, latitude, longitude, spots) | unreadable
    _refuse_faults({at: f"{fault}, in {shortened(rows[at].text)}" for at, fault in faults.items()}, spots, label)
    return Points(tuple(ids), tuple(names), latitude, longitude)


def _number(value: Any, name: str) -> tuple[float, str]:
    """The number, or NaN and what is wrong."""
    if not isinstance(value, float) and not text_of(value):
        return np.nan, f"{name} is missing"
    return (float(value), "") if is_number(value) else (np.nan, f"{name} {shortened(value)} is not a number")


def _faults(
    point_id: Sequence[str],
    name: Sequence[str],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    spots: Sequence[str],
) -> dict[int, str]:
    """Position of each unusable point, and why."""
    usable = (np.abs(latitude) <= 90) & (longitude >= -180) & (longitude <= 360)
    faults: dict[int, str] = {}
    first: dict[str, int] = {}
    for at, (identity, title) in enumerate(zip(point_id, name, strict=True)):
        if not usable[at]:
            faults[at] = _why_no_place(float(latitude[at]), float(longitude[at]))
        elif not identity:
            faults[at] = "point_id is missing: give all or none"
        elif max(len(identity), len(title)) > MOST_LETTERS:
            faults[at] = f"its point_id or name has more than {MOST_LETTERS} letters"
        elif _unwritable(identity) or _unwritable(title):
            faults[at] = "its point_id or name has control characters or halves of characters"
        elif (before := first.setdefault(identity, at)) != at:
            faults[at] = f"point_id {shortened(identity)} is already at {spots[before]}"
    return faults


def _why_no_place(latitude: float, longitude: float) -> str:
    for name, value in (("latitude", latitude), ("longitude", longitude)):
        if not np.isfinite(value):
            return f"{name} {value} is not finite"
    if abs(latitude) <= 90:
        return f"longitude {longitude:g} is not within -180 to 180 or 0 to 360"
    swapped = abs(longitude) <= 90 and -180 <= latitude <= 360
    hint = ": are latitude and longitude swapped?" if swapped else ""
    return f"latitude {latitude:g} is not within -90 to 90{hint}"


def _unwritable(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def _refuse_faults(faults: dict[int, str], spots: Sequence[str], label: str) -> None:
    if not spots:
        raise PointsError(f"{label} are none; wanted one or more")
    if not faults:
        return
    listed = [f"  {spots[at]}: {faults[at]}" for at in sorted(faults)[:_FAULTS_SHOWN]]
    if len(faults) > _FAULTS_SHOWN:
        listed.append(f"  … and {len(faults) - _FAULTS_SHOWN} more")
    text = "\n".join(listed)
    raise PointsError(f"{label}: {len(faults)} of {len(spots)} points cannot be used; mend or remove them:\n{text}")
