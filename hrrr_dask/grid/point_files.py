"""Parses CSV, GeoJSON and pandas tables of points into unchecked rows."""

from __future__ import annotations

import csv
import difflib
import functools
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from hrrr_dask.errors import PointsError
from hrrr_dask.grid.point_columns import is_number, normalise_text, parse_texts, short_repr

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Row",
    "parse_csv",
    "parse_dataframe",
    "parse_geojson",
    "read_text",
]

_FILE_LIMIT_BYTES: Final = 64 * 2**20
_MAX_POINTS: Final = 1_000_000
_MAX_BRACKETS: Final = 8 * _MAX_POINTS  # GeoJSON takes four for a point, and each becomes an object in memory
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
"""Column name, in lower case and with ``_`` for spaces, to the field of a point."""
_DELIMITERS: Final = (",", ";", "\t")
_DECIMAL_COMMA: Final = re.compile(r"([+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?)")


class Row(NamedTuple):
    """One point of the source, unchecked; None for missing values."""

    number: int
    """Line of a file, from 1; position of a feature or of a table's row, from 0."""
    text: str
    """Original text, for messages."""
    latitude: object
    """A number, its text, or anything else [degrees_north]."""
    longitude: object
    """A number, its text, or anything else [degrees_east]."""
    point_id: object = None
    """Identifier."""
    name: object = None
    """Name."""
    fault: str = ""
    """Why the row cannot be parsed; empty if it can."""
    columns: Mapping[str, Any] = MappingProxyType({})
    """Name of each further column to its value; None where there is none."""


def read_text(path: str, label: str) -> str:
    """Read the text of a local file; ``label`` names it in messages.

    Raises
    ------
    PointsError
        If the file cannot be read, is empty, is larger than 64 MiB, or is not UTF-8 text.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        hint = "download it first: points are read from local files" if "://" in path else "check its name"
        if re.fullmatch(r"[-+\d.\s]+,[-+\d.\s]+", path):
            hint = f"write the line {path} into a file and give its name"
        raise PointsError(f"{label} does not exist; {hint}") from None
    except IsADirectoryError:
        raise PointsError(f"{label} is a directory; name the file in it") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error  # without the path, which is in the label
        raise PointsError(f"{label} cannot be opened ({why}); check its name and permissions") from error
    if len(content) > _FILE_LIMIT_BYTES:
        raise PointsError(
            f"{label} is larger than {_FILE_LIMIT_BYTES >> 20} MiB; split it, or check that it is a points file"
        )
    if b"\0" in content:
        raise PointsError(f"{label} is binary or UTF-16, as it has a zero byte; save it as CSV or GeoJSON in UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PointsError(f"{label} is not UTF-8 text ({error}); save it as CSV or GeoJSON in UTF-8") from error
    if not text.strip():
        raise PointsError(f"{label} is empty; wanted a line of latitude, longitude for each point")
    return text


def parse_csv(text: str, label: str) -> list[Row]:
    """Parse text with commas, semicolons or tabs, with or without a header; a first line with a number is not a header.

    The first line decides what separates fields. With semicolons or tabs, a comma in a number is the decimal mark.
    Last lines without text in any field are not rows.

    Raises
    ------
    PointsError
        If the header does not have latitude and longitude once each, or the text has too many lines.
    """
    _check_count(text.count("\n") + text.count("\r"), "lines", 2 * _MAX_POINTS, label)  # some are comments or empty
    lines = enumerate(io.StringIO(text, newline=None), start=1)
    numbered = [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]
    delimiter = _find_delimiter(numbered[0][1].partition("#")[0]) if numbered else ","
    while numbered and not any(_split(numbered[-1][1], delimiter)):
        numbered.pop()
    if not numbered:
        return []
    bare = [(number, line.partition("#")[0]) for number, line in numbered]
    if any(_is_coordinate(field, delimiter) for field in _split(bare[0][1], delimiter)[0]):
        return [_csv_row(number, line, {"latitude": 0, "longitude": 1}, 2, delimiter) for number, line in bare]
    first_line = numbered[0][1]
    heading = _split(first_line, delimiter)[0] or [first_line.strip()]
    columns, further = _find_columns(heading, label), _find_further_columns(heading, label)
    rows = [_csv_row(number, line, columns, len(heading), delimiter, further) for number, line in numbered[1:]]
    plain = functools.partial(_with_decimal_point, delimiter=delimiter)
    typed = {title: parse_texts([row.columns[title] for row in rows], plain) for title in further}
    return [row._replace(columns={title: typed[title][at] for title in typed}) for at, row in enumerate(rows)]


def _find_delimiter(line: str) -> str:
    """The first one that gives a line latitude and longitude, as names or as its first two fields."""
    for delimiter in _DELIMITERS:
        fields = _split(line, delimiter)[0]
        has_numbers = len(fields) > 1 and all(_is_coordinate(field, delimiter) for field in fields[:2])
        if has_numbers or {"latitude", "longitude"} <= {_field_of(name) for name in fields}:
            return delimiter
    return next((delimiter for delimiter in _DELIMITERS if delimiter in line), ",")


def _csv_row(
    number: int,
    line: str,
    columns: Mapping[str, int],
    count: int,
    delimiter: str,
    further: Mapping[str, int] = MappingProxyType({}),
) -> Row:
    fields, fault = _split(line, delimiter)
    if any(fields[count:]):
        fault = f"wanted {count} fields, found {len(fields)}"

    def pick(places: Mapping[str, int]) -> dict[str, str | None]:
        return {field: fields[at] if at < len(fields) else None for field, at in places.items()}

    values = pick(columns)
    for field in ("latitude", "longitude"):
        values[field] = _with_decimal_point(values[field] or "", delimiter)
    return Row(number, line.strip(), fault=fault, columns=pick(further), **values)


def _split(line: str, delimiter: str) -> tuple[list[str], str]:
    """Fields and fault of one line. No field spans lines, so that a stray quote does not swallow other points."""
    text = line.strip(" \n" if delimiter == "\t" else None)  # a line can begin with an empty field
    reader = csv.reader([text], delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        fields = [field.strip() for field in next(reader)]
    except csv.Error as error:
        return [], f"it is not a line of CSV ({error})"
    return (fields if any(fields) else []), ""


def _with_decimal_point(text: str, delimiter: str) -> str:
    return _DECIMAL_COMMA.sub(r"\1.\2", text) if delimiter != "," and _DECIMAL_COMMA.fullmatch(text) else text


def _is_coordinate(text: str, delimiter: str) -> bool:
    return is_number(_with_decimal_point(text, delimiter))


def _field_of(column: str) -> str | None:
    return _ALIASES.get("_".join(column.lower().split()))


def parse_dataframe(frame: pd.DataFrame) -> list[Row]:
    """Parse the rows of a table; its index is ignored.

    Raises
    ------
    PointsError
        If the table does not have columns for latitude and longitude once each.
    """
    names = [str(name) for name in frame.columns]
    columns, further = _find_columns(names, "the points table"), _find_further_columns(names, "the points table")
    own = {field: _column_values(frame.iloc[:, at], field) for field, at in columns.items()}
    typed = {title: _column_values(frame.iloc[:, at], "") for title, at in further.items()}
    rows = (dict(zip(own, values, strict=True)) for values in zip(*own.values(), strict=True))
    return [
        Row(number, f"{row['latitude']}, {row['longitude']}", columns={key: typed[key][number] for key in typed}, **row)
        for number, row in enumerate(rows)
    ]


def _column_values(column: pd.Series[Any], field: str) -> list[Any]:
    """Values of a column, None for any missing value of pandas; NaN in a coordinate stays, and is refused later."""
    is_coordinate = field in ("latitude", "longitude")
    values = zip(column.tolist(), column.notna().tolist(), strict=True)
    return [value if present or (is_coordinate and isinstance(value, float)) else None for value, present in values]


def _find_columns(names: Sequence[str], label: str) -> dict[str, int]:
    """Field of a point to the position of its column."""
    columns: dict[str, int] = {}
    for at, name in enumerate(names):
        field = _field_of(name)
        if field in columns:
            raise PointsError(f"{label} has two columns for {field}, {names[columns[field]]!r} and {name!r}; keep one")
        if field:
            columns[field] = at
    missing = [field for field in ("latitude", "longitude") if field not in columns]
    if missing:
        similar = [
            f"; {name!r} may mean {match[0]!r}"
            for name in names
            if name and (match := difflib.get_close_matches(name.lower().strip(), missing, n=1))
        ]
        found = ", ".join(short_repr(name) for name in names[:_COLUMNS_SHOWN]) or "none"
        raise PointsError(
            f"{label}: wanted comma-separated columns latitude and longitude; found {found}{''.join(similar)}; name "
            "the columns in the first line, or omit the header and write latitude,longitude on each line"
        )
    return columns


def _find_further_columns(names: Sequence[str], label: str) -> dict[str, int]:
    """Title of each other column to its position; columns without a name, such as an index of pandas, are left out."""
    columns: dict[str, int] = {}
    for at, name in enumerate(map(normalise_text, names)):
        if not name or _field_of(name):
            continue
        if name in columns:
            raise PointsError(f"{label} has two columns {name!r}; keep one, or rename one")
        columns[name] = at
    return columns


def parse_geojson(text: str, label: str) -> list[Row]:
    """Parse GeoJSON: a row for each feature, or for each position of a MultiPoint.

    The positions of a MultiPoint feature with an id share its name, and have the id with their number: ``farm_0``.

    Raises
    ------
    PointsError
        If the text is not JSON, has too many objects and arrays, has a duplicate member in an object, or its type is
        not one of the four that contain points.
    """
    _check_count(text.count("{") + text.count("["), "objects and arrays", _MAX_BRACKETS, label)
    try:
        document = json.loads(text, object_pairs_hook=_unique_members)
        features = enumerate(_list_features(document))
        return [row for number, feature in features for row in _feature_rows(number, feature)]
    except (ValueError, RecursionError) as error:
        raise PointsError(
            f"{label}: wanted GeoJSON, as the text starts like JSON; found an error ({error}); write a "
            "FeatureCollection of Point features, or CSV"
        ) from error


def _check_count(found: int, what: str, most: int, label: str) -> None:
    if found > most:
        raise PointsError(
            f"{label} has {found:,} {what}, at most {most:,} are read: split it, or check that it is a points file"
        )


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a JSON object; refuse duplicate members, because parsers differ in which one they use."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{short_repr(max(names, key=names.count))} occurs twice in one object")
    return members


def _list_features(document: Any) -> list[Any]:
    kind = document.get("type") if isinstance(document, dict) else type(document).__name__
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return list(document["features"])
    if kind == "Feature":
        return [document]
    if kind == "Point":
        return [{"geometry": document}]
    if kind == "MultiPoint" and isinstance(document.get("coordinates"), list):
        return [{"geometry": {"type": "Point", "coordinates": position}} for position in document["coordinates"]]
    raise ValueError(f"its type is {short_repr(kind)}")


def _feature_rows(number: int, feature: Any) -> Iterator[Row]:
    feature = feature if isinstance(feature, dict) else {}
    properties = feature.get("properties")
    properties = properties if isinstance(properties, dict) else {}
    ids = (properties.get("point_id"), properties.get("id"), feature.get("id"))
    point_id = next((given for given in ids if normalise_text(given)), None)
    name = normalise_text(properties.get("name"))
    further = {key: value for key, value in properties.items() if normalise_text(key) and not _field_of(key)}
    positions = _positions(feature.get("geometry"))
    for order, position in enumerate(positions):
        if not isinstance(position, list) or len(position) < 2:
            text = str(feature.get("geometry"))
            yield Row(number, text, None, None, fault="it has no Point geometry with longitude and latitude")
            continue
        own_id = point_id if point_id is None or len(positions) == 1 else f"{normalise_text(point_id)}_{order}"
        yield Row(number, str(position), position[1], position[0], own_id, name, columns=further)


def _positions(geometry: Any) -> list[Any]:
    """Positions of a Point or MultiPoint; a single None for other geometries and without positions."""
    geometry = geometry if isinstance(geometry, dict) else {}
    position = geometry.get("coordinates")
    if geometry.get("type") == "Point":
        return [position]
    is_several = geometry.get("type") == "MultiPoint" and isinstance(position, list) and position
    return position if is_several else [None]
