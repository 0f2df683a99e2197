"""Rows of a points file or table as they stand, before anything is checked: one function for each form."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hrrr_dask.errors import PointsError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Row", "csv_rows", "frame_rows", "geojson_rows", "is_number", "read_text", "shortened", "text_of"]

_FILE_LIMIT_BYTES: Final = 64 * 2**20
_MOST_POINTS: Final = 1_000_000
_MOST_BRACKETS: Final = 8 * _MOST_POINTS  # of GeoJSON, where a point takes four: each becomes an object in memory
_COLUMNS_SHOWN: Final = 20
_ALIASES: Final = {
    "latitude": "latitude",
    "lat": "latitude",
    "longitude": "longitude",
    "lon": "longitude",
    "lng": "longitude",
    "long": "longitude",
    "point_id": "point_id",
    "id": "point_id",
    "name": "name",
}
"""Column name, in lower case and with ``_`` for spaces, to what it holds."""


class Row(NamedTuple):
    """What stands in one place of the source, unchecked; None where nothing does."""

    number: int
    """Line of a file, from 1; place of a feature or of a table's row, from 0."""
    text: str
    """As it stands, for messages."""
    latitude: object
    """A number or its spelling, or anything else [degrees_north]."""
    longitude: object
    """A number or its spelling, or anything else [degrees_east]."""
    point_id: object = None
    """Its id."""
    name: object = None
    """Its name."""
    fault: str = ""
    """Why the row cannot be taken apart."""


def read_text(path: str, label: str) -> str:
    """The text of a local file; ``label`` names it in messages.

    Raises
    ------
    PointsError
        If the file cannot be read, is empty, larger than 64 MiB, or no text in UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        hint = "download it first: points are read from local files" if "://" in path else "check its name"
        raise PointsError(f"{label} does not exist; {hint}") from None
    except IsADirectoryError:
        raise PointsError(f"{label} is a directory; name the file in it") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error  # without the name, which the label has
        raise PointsError(f"{label} cannot be opened ({why}); check its name and permissions") from error
    if len(content) > _FILE_LIMIT_BYTES:
        raise PointsError(
            f"{label} is larger than {_FILE_LIMIT_BYTES >> 20} MiB; split it, or check that it is a table"
        )
    if b"\0" in content:
        raise PointsError(f"{label} is binary or UTF-16, it has a zero byte; save it as CSV or GeoJSON in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PointsError(f"{label} is not UTF-8 text ({error}); save it as CSV or GeoJSON in UTF-8") from error
    if not text.strip():
        raise PointsError(f"{label} is empty; wanted a line of latitude, longitude for each point")
    return text


def csv_rows(text: str, label: str) -> list[Row]:
    """Rows of comma-separated text, with or without a header: a first line with a number in it is none.

    Raises
    ------
    PointsError
        If the header does not name latitude and longitude once each, or there are too many lines.
    """
    _check_count(text.count("\n") + text.count("\r"), "lines", 2 * _MOST_POINTS, label)  # some are comments or empty
    lines = [line.strip() for line in io.StringIO(text, newline=None)]
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line and not line.startswith("#")]
    if not numbered:
        return []
    bare = [(number, line.partition("#")[0]) for number, line in numbered]
    if any(is_number(field) for field in _split(bare[0][1])[0]):
        return [_csv_row(number, line, {"latitude": 0, "longitude": 1}, 2) for number, line in bare]
    first_line = numbered[0][1]
    heading = _split(first_line)[0] or [first_line]
    columns = _columns(heading, label)
    return [_csv_row(number, line, columns, len(heading)) for number, line in numbered[1:]]


def _csv_row(number: int, line: str, columns: dict[str, int], count: int) -> Row:
    fields, fault = _split(line)
    if any(fields[count:]):
        fault = f"{len(fields)} fields where {count} were wanted"
    cells = {holds: fields[at] if at < len(fields) else None for holds, at in columns.items()}
    return Row(number, line, fault=fault, **cells)


def _split(line: str) -> tuple[list[str], str]:
    """The fields of one line, and what is wrong with it; no field spans lines, so that a stray quote eats no point."""
    try:
        return [field.strip() for field in next(csv.reader([line], skipinitialspace=True, strict=True))], ""
    except csv.Error as error:
        return [], f"it is no line of CSV ({error})"


def frame_rows(frame: pd.DataFrame) -> list[Row]:
    """Rows of a table, whatever its index.

    Raises
    ------
    PointsError
        If its columns do not name latitude and longitude once each.
    """
    columns = _columns([str(name) for name in frame.columns], "the points table")
    cells = zip(*(_listed(frame.iloc[:, at], what) for what, at in columns.items()), strict=True)
    rows = (dict(zip(columns, values, strict=True)) for values in cells)
    return [Row(number, f"{row['latitude']}, {row['longitude']}", **row) for number, row in enumerate(rows)]


def _listed(column: pd.Series[Any], what: str) -> list[Any]:
    """Its values, None for pandas' many ways to say that one is missing; of a coordinate, NaN stays a wrong number."""
    number = what in ("latitude", "longitude")
    values = zip(column.tolist(), column.notna().tolist(), strict=True)
    return [value if there or (number and isinstance(value, float)) else None for value, there in values]


def _columns(names: Sequence[str], label: str) -> dict[str, int]:
    """What a column holds, to its position."""
    columns: dict[str, int] = {}
    for at, name in enumerate(names):
        holds = _ALIASES.get("_".join(name.lower().split()))
        if holds in columns:
            raise PointsError(f"{label} has two columns for {holds}, {names[columns[holds]]!r} and {name!r}; keep one")
        if holds:
            columns[holds] = at
    missing = [holds for holds in ("latitude", "longitude") if holds not in columns]
    if missing:
        alike = [
            f"; {name!r} may mean {match[0]!r}"
            for name in names
            if name and (match := difflib.get_close_matches(name.lower().strip(), missing, n=1))
        ]
        found = ", ".join(shortened(name) for name in names[:_COLUMNS_SHOWN]) or "none"
        raise PointsError(
            f"{label}: wanted columns latitude and longitude, between commas; found {found}{''.join(alike)}; name the "
            "columns in the first line, or leave out the header and write latitude,longitude on each"
        )
    return columns


def geojson_rows(text: str, label: str) -> list[Row]:
    """One row for each feature, or for each position of a bare geometry.

    Raises
    ------
    PointsError
        If the text is no JSON, has too much in it, names a member of an object twice, or is of another type than the
        four that can hold points.
    """
    _check_count(text.count("{") + text.count("["), "objects and arrays", _MOST_BRACKETS, label)
    try:
        document = json.loads(text, object_pairs_hook=_members)
        return [_feature_row(number, feature) for number, feature in enumerate(_features(document))]
    except (ValueError, RecursionError) as error:
        raise PointsError(
            f"{label}: wanted GeoJSON, as it begins like JSON; found none ({error}); write a FeatureCollection of "
            "Point features, or CSV"
        ) from error


def _check_count(found: int, what: str, most: int, label: str) -> None:
    if found > most:
        raise PointsError(
            f"{label} has {found:,} {what}, at most {most:,} are read: split it, or check that it is of points"
        )


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a member that stands there twice, readers differ in which one they take."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{shortened(max(names, key=names.count))} stands twice in one object")
    return members


def _features(document: Any) -> list[Any]:
    kind = document.get("type") if isinstance(document, dict) else type(document).__name__
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return list(document["features"])
    if kind == "Feature":
        return [document]
    if kind == "Point":
        return [{"geometry": document}]
    if kind == "MultiPoint" and isinstance(document.get("coordinates"), list):
        return [{"geometry": {"type": "Point", "coordinates": place}} for place in document["coordinates"]]
    raise ValueError(f"its type is {shortened(kind)}")


def _feature_row(number: int, feature: Any) -> Row:
    feature = feature if isinstance(feature, dict) else {}
    geometry = feature.get("geometry")
    place = geometry.get("coordinates") if isinstance(geometry, dict) and geometry.get("type") == "Point" else None
    if not isinstance(place, list) or len(place) < 2:
        return Row(number, str(geometry), None, None, fault="it has no Point geometry with longitude and latitude")
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    ids = (properties.get("point_id"), properties.get("id"), feature.get("id"))
    point_id = next((given for given in ids if text_of(given)), None)
    return Row(number, str(place), place[1], place[0], point_id, text_of(properties.get("name")))


def text_of(value: Any) -> str:
    """The value as one line of text, empty for None."""
    return "" if value is None else " ".join(str(value).split())


def is_number(value: Any) -> bool:
    """Whether the value is a number or spells one; ``True``, ``1_000`` and digits of other scripts are none."""
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    spelling = str(value)
    return not isinstance(value, bool) and "_" not in spelling and spelling.isascii()


def shortened(value: object) -> str:
    """The value as Python writes it, 80 letters at most, for messages."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]} …{text[-1]}"
