"""Catalogue of variables, and parsing of ``--variables``: catalogued names and any other selector.

A variable is identified by its GRIB2 numbers, level and window; its name is only a label. Standard names and units
follow the CF standard name table; GRIB2 numbers are from WMO Manual on Codes I.2 and NCEP local table 4.2.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hrrr_dask.catalog.elements import ELEMENTS, find_element, parse_raw_element
from hrrr_dask.catalog.levels import canonical_level
from hrrr_dask.catalog.limits import find_limits
from hrrr_dask.catalog.products import ARCHIVE_START, PRODUCTS
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.spelling import explain_unknown, find_name, parse_spelled
from hrrr_dask.catalog.variable_rows import DEFAULT_ROWS, OTHER_ROWS
from hrrr_dask.errors import ConfigError

__all__ = [
    "CATALOG",
    "DEFAULT_VARIABLES",
    "RESERVED_NAMES",
    "VECTOR_PAIRS",
    "Variable",
    "check_product",
    "default_variables",
    "find_companion",
    "parse_variables",
]


@dataclass(frozen=True, slots=True)
class Variable:
    """One array of the store and the message that it is read from."""

    name: str
    """Name of the array."""
    selector: Selector
    """Element, level and window of the message, spelled as in the inventory."""
    numbers: tuple[int, int, int]
    """GRIB2 discipline, category and number."""
    long_name: str
    """Human-readable name, also for plots."""
    units: str
    """UDUNITS spelling."""
    standard_name: str = ""
    """CF standard name; empty if none exists."""
    since: datetime = ARCHIVE_START
    """First init time with this variable, UTC."""
    products: tuple[str, ...] = tuple(PRODUCTS)
    """Products whose files have it; all of them if that is not known."""

    @property
    def limits(self) -> tuple[float, float] | None:
        """Smallest and largest plausible value; None if :mod:`hrrr_dask.catalog.limits` has no row."""
        row = find_limits(self.selector)
        return None if row is None else (row.low, row.high)

    @property
    def cell_methods(self) -> str:
        """CF cell methods: how the value represents its window."""
        window = self.selector.window
        words = {"acc": "sum", "ave": "mean", "max": "maximum", "min": "minimum", "instant": "point"}
        if window.kind is None:
            return ""
        method = f"lead_time: {words[window.kind]}"
        if window.kind == "instant":
            return method
        if window.minutes is None:
            return f"{method} (comment: from init_time to valid_time)"
        return f"{method} (interval: {window.minutes} minutes)"

    def is_published(self, init_time: datetime, lead_minutes: int) -> bool:
        """Whether NOAA publishes this variable in the file of a run and lead time [min]."""
        return init_time >= self.since and self.selector.window.exists_at(lead_minutes)


def _variable(
    name: str,
    selector: str,
    standard_name: str,
    units: str,
    long_name: str,
    since: datetime,
    products: tuple[str, ...] = tuple(PRODUCTS),
) -> Variable:
    parsed = Selector.parse(selector)
    return Variable(name, parsed, ELEMENTS[parsed.element].numbers, long_name, units, standard_name, since, products)


CATALOG: Final = {row[0]: _variable(*row) for row in (*DEFAULT_ROWS, *OTHER_ROWS)}
"""Name, as given to ``--variables``, to variable."""

DEFAULT_VARIABLES: Final = tuple(row[0] for row in DEFAULT_ROWS)
"""The eleven variables that are read by default from hourly products."""

_SUBHOURLY_MEANS: Final = ("downward_shortwave_flux_15min", "visible_beam_downward_solar_flux_15min")
"""Read by default from sub-hourly files: what a solar plant sees is the mean, not the instant."""

VECTOR_PAIRS: Final = (
    ("UGRD", "VGRD"),
    ("MAXUW", "MAXVW"),
    ("USTM", "VSTM"),
    ("VUCSH", "VVCSH"),
    ("UFLX", "VFLX"),
)
"""Elements that are the x and y components of a vector relative to the grid."""

MULTI_WINDOW_ELEMENTS: Final = frozenset({"APCP", "WEASD", "FROZR"})
"""Accumulated elements with several windows in one file: a selector must name the window."""


def default_variables(product: str) -> tuple[str, ...]:
    """Return the names of the variables that are read by default from a product.

    Examples
    --------
    >>> sorted(set(default_variables("sfc")) - set(default_variables("subh")))
    ['relative_humidity_2m', 'surface_roughness']
    """
    names = (*DEFAULT_VARIABLES, *_SUBHOURLY_MEANS)
    return tuple(name for name in names if product in CATALOG[name].products)


def check_product(variables: Iterable[Variable], product: str) -> None:
    """Refuse variables that the files of a product do not have.

    Raises
    ------
    ConfigError
        If there are any; names them, and the products that have them.
    """
    absent = [variable for variable in variables if product not in variable.products]
    if absent:
        products = " and ".join(dict.fromkeys(name for variable in absent for name in variable.products))
        raise ConfigError(
            f"{product} files have no {', '.join(variable.name for variable in absent)}, found in {products}: leave "
            f"it out, or give --product; leave --variables out for the {len(default_variables(product))} that are read "
            f"from {product} by default"
        )


def find_companion(selector: Selector) -> tuple[Selector, int] | None:
    """Find the other component of a vector.

    Returns
    -------
    (Selector, int) or None
        The other component, and the axis of *this* one: 0 for x, 1 for y. None for a scalar.

    Examples
    --------
    >>> other, axis = find_companion(Selector.parse("VGRD:10 m above ground"))
    >>> str(other), axis
    ('UGRD:10 m above ground', 1)
    """
    for pair in VECTOR_PAIRS:
        if selector.element in pair:
            axis = pair.index(selector.element)
            return Selector(pair[1 - axis], selector.level, selector.window), axis
    return None


def parse_variables(names: Iterable[str]) -> tuple[Variable, ...]:
    """Parse the values of ``--variables``.

    Parameters
    ----------
    names : iterable of str
        Catalogued names, selectors ``ELEMENT:LEVEL[:WINDOW]``, or ``name=SELECTOR``; also in the spellings of
        :mod:`hrrr_dask.catalog.spelling`.

    Returns
    -------
    tuple of Variable
        In the given order.

    Raises
    ------
    ConfigError
        If a name or an element is unknown, a name occurs twice, or a selector requires a window.
    """
    found: dict[str, Variable] = {}
    for text in (name.strip() for name in names):
        variable = _parse_variable(text)
        if variable.name in found:
            raise ConfigError(
                f"variable {variable.name!r} is requested twice: name each once, or rename one as NAME=SELECTOR"
            )
        found[variable.name] = variable
    if not found:
        raise ConfigError("no variables are named: leave --variables out for those that are read by default")
    return tuple(found.values())


def _parse_variable(text: str) -> Variable:
    name, equals, selector_text = text.partition("=")
    if parse_raw_element(text.split(":", maxsplit=1)[0]) is not None or not equals:  # raw notation contains '='
        name, selector_text = "", text
    if ":" not in selector_text:
        return _find_catalogued(selector_text if not name else text)
    selector = parse_spelled(selector_text)
    numbers, title, units = _describe_element(selector)
    selector = Selector(selector.element, canonical_level(selector.level), selector.window)
    if selector.window.kind is None and selector.element in MULTI_WINDOW_ELEMENTS:
        raise ConfigError(
            f"{selector} occurs several times in a file, with different windows: "
            f"write '{selector}:1 hour acc' or '{selector}:run acc'"
        )
    catalogued = CATALOG.get(name.strip())
    if catalogued is not None and catalogued.selector != selector:
        raise ConfigError(
            f"{catalogued.name} is the catalogue's name for {catalogued.selector}: give {selector} another name"
        )
    if catalogued is not None:
        return catalogued
    long_name = f"{title}, {selector.level}" + (f", {selector.window}" if str(selector.window) else "")
    return Variable(_check_name(name.strip()) if name else _default_name(selector), selector, numbers, long_name, units)


def _find_catalogued(name: str) -> Variable:
    found = find_name(name, CATALOG)
    if found is not None:
        return CATALOG[found]
    selectors = {known: variable.selector for known, variable in CATALOG.items()}
    raise ConfigError(f"variable {name!r} is unknown: {explain_unknown(name, selectors)}")


def _describe_element(selector: Selector) -> tuple[tuple[int, int, int], str, str]:
    """GRIB2 numbers, title and units."""
    raw = parse_raw_element(selector.element)
    element = find_element(selector.element)
    if element is not None:
        return element.numbers, element.title, element.units
    if raw is not None:
        return raw, f"GRIB2 parameter {'.'.join(map(str, raw))}", "1"
    near = difflib.get_close_matches(selector.element.upper(), ELEMENTS, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    if name := find_name(selector.element, CATALOG):
        hint = f"did you mean {name}, without a level? "
    raise ConfigError(
        f"element {selector.element!r} is not in the table of GRIB2 numbers, so its messages could not be checked: "
        f"{hint}Otherwise write it by number, as 'var discipline=0 center=7 local_table=1 parmcat=16 parm=201:LEVEL'"
    )


def _default_name(selector: Selector) -> str:
    return re.sub(r"[^a-z0-9]+", "_", str(selector).lower()).strip("_")


RESERVED_NAMES: Final = frozenset(
    [
        "init_time",
        "lead_time",
        "valid_time",
        "point",
        "point_id",
        "name",
        "latitude",
        "longitude",
        "cell_latitude",
        "cell_longitude",
        "cell_y",
        "cell_x",
        "cell_distance",
        "cell_projection_y",
        "cell_projection_x",
        "cell_elevation",
        "cell_is_land",
        "status",
        "quality",
        "available_at",
        "crs",
    ]
)
"""Names of a store's own coordinates and arrays, which neither variables nor columns of points can have."""


def _check_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in RESERVED_NAMES:
        raise ConfigError(
            f"{name!r} is not a valid variable name: use letters, digits and underscores, a letter first, and not the "
            "name of a coordinate"
        )
    return name
