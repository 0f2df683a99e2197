"""Points with ids, names and coordinates: reads CSV, GeoJSON or pandas tables, and reports all invalid rows at once.

Three text formats are supported, in UTF-8 with or without a byte order mark:

- CSV with a header: ``latitude, longitude`` and optionally ``point_id``, ``name``, in any order and case, and further
  columns, which are kept;
- CSV without a header: ``latitude, longitude`` on each line, ``#`` starts a comment;
- GeoJSON (RFC 7946): features with a Point or MultiPoint geometry, one feature, or such a geometry; further
  properties are columns.

Fields of CSV are separated by commas, semicolons or tabs.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import PointsError
from hrrr_dask.grid.point_columns import (
    PointColumn,
    is_number,
    is_unprintable,
    join_columns,
    make_columns,
    normalise_text,
    refuse_clashes,
    short_repr,
)
from hrrr_dask.grid.point_files import Row, parse_csv, parse_dataframe, parse_geojson, read_text
from hrrr_dask.objects.locations import redact_url

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Points", "read_points"]

_MAX_FAULTS_LISTED: Final = 20

MAX_TEXT_LENGTH: Final = 256
"""Largest length of an id or a name: the store and its readers keep several copies of them [character]."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Points:
    """Named points in the given order.

    Raises
    ------
    PointsError
        If there are no points, lengths differ, a coordinate is out of range, an id is empty, unprintable or used
        twice, or a column has the name of a coordinate of every store.

    Examples
    --------
    >>> points = hrrr_dask.read_points("points.csv")
    >>> points.point_id, points.columns["hub_height"].values
    (('roscoe', 'sweetwater', 'champion'), (90.0, 120.0, 105.0))
    >>> points.coordinates()["roscoe"]
    (32.265, -100.345)
    >>> points.take([1]).concat(points.take([0])).point_id
    ('sweetwater', 'roscoe')
    >>> points.digest()
    '9227b54e9abbe4cc'
    """

    point_id: tuple[str, ...]
    """dims (point,): unique identifiers."""
    name: tuple[str, ...]
    """dims (point,): human-readable names."""
    latitude: NDArray[np.float64]
    """dims (point,), read-only [degrees_north]."""
    longitude: NDArray[np.float64]
    """dims (point,), read-only, -180 to 180; the constructor also accepts 0 to 360 [degrees_east]."""
    columns: dict[str, PointColumn] = field(default_factory=dict)
    """Further columns, such as hub height, by name of the coordinate; no part of the points' identity."""

    def __post_init__(self) -> None:
        for text in ("point_id", "name"):
            object.__setattr__(self, text, tuple(map(str, getattr(self, text))))
        latitude = np.array(self.latitude, np.float64) + 0.0  # turns -0.0 into 0.0, whose bytes differ
        longitude = np.array(self.longitude, np.float64) + 0.0
        if not (latitude.shape == longitude.shape == (len(self.point_id),) == (len(self.name),)):
            raise PointsError(
                "wanted one point_id, name, latitude and longitude for each point; found "
                f"{len(self.point_id)}, {len(self.name)}, {latitude.shape} and {longitude.shape}"
            )
        if short := [name for name, column in self.columns.items() if len(column) != len(self.point_id)]:
            raise PointsError(f"wanted a value of each column for each of {len(self)} points; {short[0]} has others")
        refuse_clashes(self.columns, {})
        labels = [f"point {number}" for number in range(len(self.point_id))]
        _refuse_faults(_find_faults(self.point_id, self.name, latitude, longitude, labels), labels, "the points")
        longitude[longitude > 180] -= 360
        for axis, values in (("latitude", latitude), ("longitude", longitude)):
            values.flags.writeable = False
            object.__setattr__(self, axis, values)

    def __len__(self) -> int:
        return len(self.point_id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Points):
            return NotImplemented
        mine, others = (self.name, self.point_id, self.columns), (other.name, other.point_id, other.columns)
        return mine == others and self._bytes() == other._bytes()

    def __hash__(self) -> int:
        return hash(self.digest())

    def __repr__(self) -> str:
        return f"<Points: {len(self)} from {self.point_id[0]!r} to {self.point_id[-1]!r}, digest {self.digest()}>"

    def __reduce__(self) -> tuple[type[Points], tuple[object, ...]]:
        """Pickle through the constructor, because unpickled arrays would be writeable."""
        return Points, (self.point_id, self.name, self.latitude, self.longitude, self.columns)

    def digest(self) -> str:
        """Hash of ids and coordinates in their order, without names and columns: sixteen hexadecimal digits."""
        ids = json.dumps(self.point_id).encode()
        return hashlib.sha256(b"\0".join((ids, *self._bytes()))).hexdigest()[:16]

    def coordinates(self) -> dict[str, tuple[float, float]]:
        """Map each point id to its latitude and longitude."""
        return dict(zip(self.point_id, zip(self.latitude.tolist(), self.longitude.tolist(), strict=True), strict=True))

    def take(self, positions: Sequence[int]) -> Points:
        """Select points by position, in the given order."""
        at = list(positions)
        return Points(
            tuple(self.point_id[k] for k in at),
            tuple(self.name[k] for k in at),
            self.latitude[at],
            self.longitude[at],
            {name: column.take(at) for name, column in self.columns.items()},
        )

    def concat(self, more: Points) -> Points:
        """Append other points; an id that is in both is an error, and a column of another type.

        A value of a column that one of both lacks is missing.
        """
        return Points(
            self.point_id + more.point_id,
            self.name + more.name,
            np.concatenate([self.latitude, more.latitude]),
            np.concatenate([self.longitude, more.longitude]),
            join_columns(self.columns, len(self), more.columns, len(more)),
        )

    def _bytes(self) -> tuple[bytes, bytes]:
        return self.latitude.astype("<f8").tobytes(), self.longitude.astype("<f8").tobytes()


def _is_table(source: object) -> TypeGuard[pd.DataFrame]:
    """Whether the source is a pandas DataFrame, without importing pandas: its caller has done so."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def read_points(source: str | os.PathLike[str] | pd.DataFrame | Points) -> Points:
    """Read and check points.

    Parameters
    ----------
    source : path, DataFrame or Points
        A file in one of the module's three formats, or a table with the columns of the first. Longitudes are -180 to
        180 or 0 to 360. If no point has an id, ids are ``p0000``, ``p0001`` and so on in order. The name of a point
        defaults to its id. Further columns are kept as ``columns``, in the type of their values: ``bool``, ``int64``,
        ``float64`` or ``string``; those without a name or any value are left out.

    Returns
    -------
    Points
        In the order of the source.

    Raises
    ------
    PointsError
        If the source cannot be read, a column has the name of a coordinate of the store, or rows are invalid; the text
        lists up to twenty of them.

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
        return _to_points(parse_dataframe(source), "the points table", "row")
    if not isinstance(source, str | os.PathLike):
        raise PointsError(f"wanted points as a path, a pandas DataFrame or Points, found {type(source).__name__}")
    path = os.fsdecode(source)
    label = f"points file {redact_url(path)!r}"
    text = read_text(path, label)
    if text.lstrip()[:1] in ("{", "["):
        return _to_points(parse_geojson(text, label), label, "feature")
    return _to_points(parse_csv(text, label), label, "line")


def _to_points(rows: Sequence[Row], label: str, word: str) -> Points:
    if not rows:
        raise PointsError(f"{label} has no points; wanted a {word} with latitude and longitude for each")
    labels = [f"{word} {row.number}" for row in rows]
    ids = [normalise_text(row.point_id) for row in rows]
    if not any(ids):
        ids = [f"p{number:04d}" for number in range(len(rows))]
    names = [normalise_text(row.name) or point_id for row, point_id in zip(rows, ids, strict=True)]
    latitude, longitude = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    unreadable = {}
    for at, row in enumerate(rows):
        latitude[at], no_latitude = _parse_number(row.latitude, "latitude")
        longitude[at], no_longitude = _parse_number(row.longitude, "longitude")
        if fault := row.fault or no_latitude or no_longitude:
            unreadable[at] = fault
    titles = dict.fromkeys(title for row in rows for title in row.columns)
    columns, unusable = make_columns({title: [row.columns.get(title) for row in rows] for title in titles}, label)
    faults = unusable | _find_faults(ids, names, latitude, longitude, labels) | unreadable
    _refuse_faults({at: f"{fault}, in {short_repr(rows[at].text)}" for at, fault in faults.items()}, labels, label)
    return Points(tuple(ids), tuple(names), latitude, longitude, columns)


def _parse_number(value: Any, name: str) -> tuple[float, str]:
    """The number and no fault, or NaN and the fault."""
    if not isinstance(value, float) and not normalise_text(value):
        return np.nan, f"{name} is missing"
    return (float(value), "") if is_number(value) else (np.nan, f"{name} {short_repr(value)} is not a number")


def _find_faults(
    point_id: Sequence[str],
    name: Sequence[str],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    labels: Sequence[str],
) -> dict[int, str]:
    """Position of each invalid point to its fault."""
    usable = (np.abs(latitude) <= 90) & (longitude >= -180) & (longitude <= 360)
    faults: dict[int, str] = {}
    first: dict[str, int] = {}
    for at, (identity, title) in enumerate(zip(point_id, name, strict=True)):
        if not usable[at]:
            faults[at] = _describe_invalid(float(latitude[at]), float(longitude[at]))
        elif not identity:
            faults[at] = "point_id is missing: give all or none"
        elif max(len(identity), len(title)) > MAX_TEXT_LENGTH:
            faults[at] = f"its point_id or name has more than {MAX_TEXT_LENGTH} characters"
        elif is_unprintable(identity) or is_unprintable(title):
            faults[at] = "its point_id or name has control characters or unpaired surrogates"
        elif (before := first.setdefault(identity, at)) != at:
            faults[at] = f"point_id {short_repr(identity)} is already at {labels[before]}"
    return faults


def _describe_invalid(latitude: float, longitude: float) -> str:
    for name, value in (("latitude", latitude), ("longitude", longitude)):
        if not np.isfinite(value):
            return f"{name} {value} is not finite"
    if abs(latitude) <= 90:
        return f"longitude {longitude:g} is not within -180 to 180 or 0 to 360"
    swapped = abs(longitude) <= 90 and -180 <= latitude <= 360
    hint = " (perhaps swapped with longitude)" if swapped else ""
    return f"latitude {latitude:g} is not within -90 to 90{hint}"


def _refuse_faults(faults: dict[int, str], labels: Sequence[str], source: str) -> None:
    if not labels:
        raise PointsError(f"{source} are empty; wanted at least one")
    if not faults:
        return
    listed = [f"  {labels[at]}: {faults[at]}" for at in sorted(faults)[:_MAX_FAULTS_LISTED]]
    if len(faults) > _MAX_FAULTS_LISTED:
        listed.append(f"  … and {len(faults) - _MAX_FAULTS_LISTED} more")
    text = "\n".join(listed)
    raise PointsError(
        f"{source}: {len(faults)} of {len(labels)} points cannot be used; correct or remove them:\n{text}"
    )
