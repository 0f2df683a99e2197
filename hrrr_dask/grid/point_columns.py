"""Further columns of points, such as hub height, capacity or region: their types, names and missing values. Pure.

A column has one of four types: ``float64``, ``int64``, ``bool`` or ``string``. The type is that of its values in the
points file, and stays: points that are added later have values of that type, or none.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.variables import RESERVED_NAMES
from hrrr_dask.errors import PointsError

__all__ = [
    "PointColumn",
    "coordinate_name",
    "describe_differences",
    "is_number",
    "is_unprintable",
    "join_columns",
    "make_columns",
    "normalise_text",
    "parse_texts",
    "refuse_clashes",
    "short_repr",
]

Kind = Literal["float64", "int64", "bool", "string"]
Value = float | int | bool | str | None

MAX_COLUMN_TEXT: Final = 1024
"""Largest length of a text in a column [character]."""

_MOST_INTEGER: Final = 2**63 - 1
_INTEGER: Final = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_LEADING_ZERO: Final = re.compile(r"[+-]?0[0-9]+")
_BOOLEANS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class PointColumn:
    """One value for each point."""

    title: str
    """Name of the column in the points file."""
    kind: Kind
    """Type of the values."""
    values: tuple[Value, ...]
    """dims (point,): None where there is no value."""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def has_missing(self) -> bool:
        """Whether a point has no value."""
        return None in self.values

    def take(self, positions: Sequence[int]) -> PointColumn:
        """Select points by position, in the given order."""
        return replace(self, values=tuple(self.values[k] for k in positions))

    def to_array(self) -> NDArray[Any]:
        """Return the values as readers of a store see them.

        Returns
        -------
        ndarray, dims (point,)
            Of the column's type, text as objects. Missing text is empty; other missing values are NaN, and then
            integers and booleans are float64.
        """
        if self.kind == "string":
            return np.array(["" if value is None else value for value in self.values], dtype=object)
        dtype = "float64" if self.has_missing else self.kind
        return np.array([np.nan if value is None else value for value in self.values], dtype=dtype)


def coordinate_name(title: str, number: int) -> str:
    """Return the name of a column's coordinate: letters without accents, digits and underscores, a letter first.

    Parameters
    ----------
    title : str
        Name of the column in the points file.
    number : int
        Number of the column, for a title that has no such letters or digits.

    Examples
    --------
    >>> coordinate_name("Hub height (m)", 1), coordinate_name("Größe", 2), coordinate_name("2024", 3)
    ('Hub_height_m', 'Grosse', 'column_2024')
    """
    plain = unicodedata.normalize("NFKD", title.replace("ß", "ss")).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or str(number)
    return name if name[0].isalpha() else f"column_{name}"


def make_columns(given: Mapping[str, Sequence[object]], label: str) -> tuple[dict[str, PointColumn], dict[int, str]]:
    """Make the columns of points; those without any value are left out.

    Parameters
    ----------
    given : mapping of str to sequence
        Title of each column to its values, None where there is none.
    label : str
        Name of the source, for messages.

    Returns
    -------
    columns : dict of str to PointColumn
        By name of the coordinate.
    faults : dict of int to str
        Position of each point with an unusable text to the reason.

    Raises
    ------
    PointsError
        If two columns would have one name.
    """
    columns: dict[str, PointColumn] = {}
    faults: dict[int, str] = {}
    for number, (title, values) in enumerate(given.items(), start=1):
        kind, typed = _infer(values)
        if all(value is None for value in typed):
            continue
        name = coordinate_name(title, number)
        if (other := next((known for known in columns if known.lower() == name.lower()), None)) is not None:
            raise PointsError(
                f"{label}: wanted columns with names of their own, found {columns[other].title!r} and {title!r}, which "
                f"would both be {other}; rename one"
            )
        columns[name] = PointColumn(title, kind, typed)
        for at, value in enumerate(typed):
            if isinstance(value, str) and (fault := _find_fault(value)):
                faults.setdefault(at, f"its {title} {fault}")
    return columns, faults


def _find_fault(text: str) -> str:
    if len(text) > MAX_COLUMN_TEXT:
        return f"has more than {MAX_COLUMN_TEXT:,} characters"
    return "has control characters or unpaired surrogates" if is_unprintable(text) else ""


def _infer(values: Sequence[object]) -> tuple[Kind, tuple[Value, ...]]:
    """Return the type of a column, and its values in that type."""
    known = [value for value in map(_plain, values) if value is not None]
    if all(isinstance(value, bool) for value in known):
        kind: Kind = "bool"
    elif any(isinstance(value, bool | str) for value in known):
        kind = "string"
    elif all(isinstance(value, int) for value in known):
        fits = all(-_MOST_INTEGER <= value <= _MOST_INTEGER for value in known if isinstance(value, int))
        kind = "int64" if fits else "string"
    else:
        kind = "float64"
    return kind, tuple(_convert(_plain(value), kind) for value in values)


def _plain(value: object) -> Value:
    """Return a value as a number, a boolean, one line of text, or None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, bool | int | float):
        return value
    return normalise_text(json.dumps(value) if isinstance(value, dict | list) else value) or None


def _convert(value: Value, kind: Kind) -> Value:
    """Convert a value to a type that can hold it."""
    if value is None:
        return None
    if kind == "string":
        return json.dumps(value) if isinstance(value, bool) else str(value)
    return float(value) if kind == "float64" else value


def parse_texts(texts: Sequence[str | None], plain: Callable[[str], str]) -> list[Value]:
    """Parse the fields of a column of CSV: as booleans, integers or numbers if all are, else as text.

    Parameters
    ----------
    texts : sequence of str or None
        The fields; empty ones have no value.
    plain : callable
        Replaces the decimal comma of a number by a point.

    Examples
    --------
    >>> parse_texts(["80", "", "100"], str), parse_texts(["80", "82.5"], str), parse_texts(["007", "12"], str)
    ([80, None, 100], [80.0, 82.5], ['007', '12'])
    """
    fields = [text or None for text in texts]
    known = [field for field in fields if field]
    if all(field.lower() in _BOOLEANS for field in known):
        return [None if field is None else _BOOLEANS[field.lower()] for field in fields]
    if any(_LEADING_ZERO.fullmatch(field) for field in known):  # codes, not numbers
        return list(fields)
    numbers = [None if field is None else plain(field) for field in fields]
    if all(_INTEGER.fullmatch(number) for number in numbers if number):
        return [None if number is None else int(number) for number in numbers]
    if all(is_number(number) for number in numbers if number):
        return [None if number is None else float(number) for number in numbers]
    return list(fields)


def refuse_clashes(columns: Mapping[str, PointColumn], taken: Mapping[str, str]) -> None:
    """Refuse columns that have the name of something else in the store.

    Parameters
    ----------
    columns : mapping of str to PointColumn
        By name of the coordinate.
    taken : mapping of str to str
        Name of each variable of the store to what it is.

    Raises
    ------
    PointsError
        If a column has one of these names, or that of a coordinate of every store.
    """
    names = dict.fromkeys(RESERVED_NAMES, "coordinate") | {name.lower(): what for name, what in taken.items()}
    clashes = {column.title: names[name.lower()] for name, column in columns.items() if name.lower() in names}
    if clashes:
        found = ", ".join(f"{title!r}, which is a {what} of the store" for title, what in clashes.items())
        raise PointsError(
            f"wanted columns of the points with names of their own, found {found}; rename the column, for example "
            f"to 'site_{coordinate_name(next(iter(clashes)), 1)}', or remove it"
        )


def join_columns(
    first: Mapping[str, PointColumn], n_first: int, more: Mapping[str, PointColumn], n_more: int
) -> dict[str, PointColumn]:
    """Append the columns of other points; values that one of them lacks are missing.

    Raises
    ------
    PointsError
        If values of the second cannot have the type that the column has in the first.
    """
    joined = {}
    for name in dict.fromkeys((*first, *more)):
        known, added = first.get(name), more.get(name)
        if known is None:
            assert added is not None, "one of them has the column"
            joined[name] = replace(added, values=(None,) * n_first + added.values)
            continue
        later = (None,) * n_more if added is None else _with_kind(added, known)
        joined[name] = replace(known, values=known.values + later)
    return joined


def _with_kind(column: PointColumn, known: PointColumn) -> tuple[Value, ...]:
    kind = known.kind
    if column.kind == kind or kind == "string" or (column.kind, kind) == ("int64", "float64"):
        return tuple(_convert(value, kind) for value in column.values)
    known_values = [value for value in column.values if value is not None]
    whole = all(isinstance(value, float) and value.is_integer() for value in known_values)
    if (column.kind, kind) == ("float64", "int64") and whole:  # pandas has integers with missing values as floats
        return tuple(None if value is None else int(value) for value in column.values)
    wanted = {"float64": "numbers", "int64": "whole numbers", "bool": "true or false"}[kind]
    found = next(value for value in known_values if kind != "int64" or not str(value).endswith(".0"))
    raise PointsError(
        f"column {column.title!r}: wanted {wanted}, as the store has them ({kind}), found {short_repr(found)}; correct "
        "the values, or give the column another name"
    )


def describe_differences(
    known: Mapping[str, Mapping[str, Value]], given: Mapping[str, Mapping[str, Value]], point_ids: Set[str]
) -> list[str]:
    """Describe values of columns that differ from those of a store, which keeps its own: a line for each column.

    Parameters
    ----------
    known, given : mapping of str to mapping
        Name of each column to the values by point_id, of the store and of the points given now.
    point_ids : set of str
        Points that the store has.
    """
    lines = []
    for name, values in given.items():
        own = known.get(name, {})
        differ = [
            point_id
            for point_id, value in values.items()
            if value is not None and point_id in point_ids and own.get(point_id) != value
        ]
        if differ:
            first = differ[0]
            there = short_repr(own[first]) if own.get(first) is not None else "no value"
            more = f" and {len(differ) - 1:,} more keep" if len(differ) > 1 else " keeps"
            lines.append(
                f"column {name}: {first}{more} what is in the store, {there} for {first}, where the points "
                f"have {short_repr(values[first])}; columns are stored with new points only"
            )
    return lines


def normalise_text(value: Any) -> str:
    """Format a value as one line of text with single spaces; empty for None."""
    return "" if value is None else " ".join(str(value).split())


def is_number(value: Any) -> bool:
    """Whether the value is a number or its text; ``True``, ``1_000`` and non-ASCII digits are not."""
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    text = str(value)
    return not isinstance(value, bool) and "_" not in text and text.isascii()


def is_unprintable(text: str) -> bool:
    """Whether a text has control characters or unpaired surrogates."""
    return not text.isprintable() and any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def short_repr(value: object) -> str:
    """``repr`` of a value, truncated to about 80 characters, for messages."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]} …{text[-1]}"
