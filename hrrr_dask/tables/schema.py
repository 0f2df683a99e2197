"""What a table has: its layout, its columns, and what a worker needs to make its rows from a store. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hrrr_dask.errors import ConfigError
from hrrr_dask.planning.layout import Axis, Layout

__all__ = ["ROWS_VERSION", "Shape", "TableSpec", "check_shape", "select_variables", "table_schema"]

Shape = Literal["long", "wide"]
"""One row for each value, or one column for each variable."""

ROWS_VERSION: Final = 1
"""Part of the fingerprints: with another version, every day is written anew."""

UTC_TIME: Final = pa.timestamp("us", tz="UTC")
_WORD: Final = pa.dictionary(pa.int32(), pa.string())

_BEFORE: Final = (
    ("init_time", UTC_TIME),
    ("lead_time_h", pa.float64()),
    ("valid_time", UTC_TIME),
    ("point_id", pa.string()),
    ("latitude", pa.float64()),
    ("longitude", pa.float64()),
)
_LONG: Final = (("variable", pa.string()), ("value", pa.float32()), ("units", pa.string()))
_AFTER: Final = (("source", pa.string()),)
_GAP: Final = (("gap", pa.string()),)


@dataclass(frozen=True)
class TableSpec:
    """The table of a store: what its rows are made of."""

    store_url: str
    """URL of the store."""
    store_options: tuple[tuple[str, str], ...]
    """Options of its endpoint."""
    shape: Shape
    """Layout of the table."""
    with_gaps: bool
    """Whether gaps are rows."""
    variables: tuple[str, ...]
    """Names of the variables, in the order of the store."""
    units: tuple[str, ...]
    """Unit of each variable."""
    lead_minutes: tuple[int, ...]
    """Ascending lead times [min]."""
    axis: Axis
    """The init_time axis of the store."""
    layout: Layout
    """Sizes of its shards."""
    documents: Mapping[str, Any]
    """Variable to the metadata of its array."""
    point_id: tuple[str, ...]
    """Identifier of each point."""
    latitude: NDArray[np.float64]
    """Latitude, dims (point,) [degrees_north]."""
    longitude: NDArray[np.float64]
    """Longitude, dims (point,) [degrees_east]."""

    @property
    def cycles(self) -> int:
        """Runs of a day."""
        return len(self.axis.cycles)

    @property
    def schema(self) -> pa.Schema:
        """Columns of the table."""
        return table_schema(self.shape, self.variables, self.units, with_gaps=self.with_gaps)

    @cached_property
    def file_schema(self) -> pa.Schema:
        """The columns with words as dictionaries, as they are made and encoded."""
        return pa.schema(
            [field.with_type(_WORD) if field.type == pa.string() else field for field in self.schema],
        )

    @property
    def origin(self) -> dict[str, str]:
        """What is the same for all days of a table."""
        gaps = "rows" if self.with_gaps else "left out"
        return {"store": self.store_url, "layout": self.shape, "gaps": gaps}

    def day_number(self, day: date) -> int:
        """Return the position of a day on the axis [d]."""
        return (day - self.axis.first_day.date()).days

    def day_at(self, number: int) -> date:
        """Return the day at a position of the axis."""
        return self.axis.first_day.date() + timedelta(days=number)


def table_schema(shape: Shape, variables: Sequence[str], units: Sequence[str], *, with_gaps: bool) -> pa.Schema:
    """Return the columns of a table; the fields of a wide table's variables have their units as metadata."""
    wide = [pa.field(name, pa.float32(), metadata={"units": unit}) for name, unit in zip(variables, units, strict=True)]
    fixed = [pa.field(name, kind) for name, kind in _BEFORE]
    ending = [pa.field(name, kind) for name, kind in (*_AFTER, *(_GAP if with_gaps else ()))]
    return pa.schema([*fixed, *(wide if shape == "wide" else [pa.field(*each) for each in _LONG]), *ending])


def check_shape(text: str) -> Shape:
    """Return the layout of a table.

    Raises
    ------
    ConfigError
        If it is unknown.
    """
    for known in get_args(Shape):
        if text == known:
            shape: Shape = known
            return shape
    raise ConfigError(f"layout {text!r} is unknown: take one of {', '.join(get_args(Shape))}")


def select_variables(wanted: str | Sequence[str] | None, there: Sequence[str], url: str) -> list[int]:
    """Return the positions of the wanted variables in a store, ascending; all by default.

    Raises
    ------
    ConfigError
        If the store does not have one of them.

    Examples
    --------
    >>> select_variables("visibility", ["temperature_2m", "visibility"], "farms.zarr")
    [1]
    """
    if wanted is None:
        return list(range(len(there)))
    texts = wanted.split(",") if isinstance(wanted, str) else list(wanted)
    names = [name for text in texts if (name := text.strip())]
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=3) or there
            raise ConfigError(f"{url} has no variable {name!r}: take some of {', '.join(near)}")
    if not names:
        raise ConfigError("no variables are named: leave --variables out for those of the store")
    return sorted({there.index(name) for name in names})
