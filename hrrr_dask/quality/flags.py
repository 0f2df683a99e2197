"""Which values are physically out of place: flags beside values, never changes to them. Pure.

A flag says that a value is worth a look. Some are the model's own doing (a sentinel, a spike at sunrise), some could
only be ours. Nothing here is a gap: a value that is flagged is what NOAA published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrrr_dask.catalog.variables import Variable
from hrrr_dask.grid.solar import Times, cos_zenith

__all__ = ["FLAGS", "OWN_FLAGS", "STEP_FLAGS", "Flag", "names_of", "own_flags", "quality_flags"]


@dataclass(frozen=True, slots=True)
class Flag:
    """One row of the table."""

    name: str
    """Stable name, also a CF flag meaning."""
    mask: int
    """CF flag mask: one bit."""
    meaning: str
    """For people."""
    source: str
    """Where the rule comes from."""


FLAGS: Final = {
    flag.name: flag
    for flag in (
        Flag("below-limits", 1, "smaller than the variable can be", "hrrr_dask.catalog.limits, with a source a row"),
        Flag("above-limits", 2, "larger than the variable can be", "hrrr_dask.catalog.limits, with a source a row"),
        Flag(
            "moisture-sentinel",
            4,
            "dew point at -81.03 degC, or humidity at the floor of 1 %: the model had next to no moisture there",
            "real HRRR fields since v3; NCEP's post-processor keeps relative humidity at 1 % and more",
        ),
        Flag(
            "beam-above-solar-constant",
            8,
            "direct normal irradiance above 1361 W m-2, as in a band at sunrise",
            "Kopp and Lean 2011, GRL 38, L01706",
        ),
        Flag(
            "dewpoint-above-temperature",
            16,
            "dew point above the temperature of the same level by more than packing explains",
            "by definition; NCEP's post-processor keeps it below",
        ),
        Flag(
            "solar-closure",
            32,
            "global horizontal irradiance is not beam times the cosine of the zenith angle plus diffuse",
            "Long and Shi 2008, Open Atmos. Sci. J. 2, 23-37: 8 %, or 15 % with the sun below 15 degrees",
        ),
        Flag(
            "no-data-sentinel",
            64,
            "a number that stands for nothing there, such as -999 for no echo top",
            "CPOFP -50 in real fields; RETOP -999 and cloud ceiling 9999 as users of HRRR report them",
        ),
    )
}
"""Flag name to its row: what one file tells."""

STEP_FLAGS: Final = {
    flag.name: flag
    for flag in (
        Flag(
            "step-along-lead-time",
            256,
            "far from the value of the lead time before",
            "five times the hourly step of hrrr_dask.catalog.limits, times the root of the hours between",
        ),
        Flag(
            "step-between-runs",
            512,
            "far from what the run before said for the same valid time",
            "five times the hourly step of hrrr_dask.catalog.limits, times the root of the hours between",
        ),
    )
}
"""Flag name to its row: flags that need several files (:mod:`hrrr_dask.quality.steps`), in bits that :data:`FLAGS`
leaves free."""

OWN_FLAGS: Final = tuple(
    flag for flag in FLAGS.values() if flag.name not in ("dewpoint-above-temperature", "solar-closure")
)
"""What a variable tells alone: the masks of the store's ``quality``."""

BELOW, ABOVE, MOISTURE, BEAM, DEWPOINT, CLOSURE, NO_DATA = (np.uint16(flag.mask) for flag in FLAGS.values())

SOLAR_CONSTANT: Final = 1361.0
"""[W m-2]."""

PERCENT_SLACK: Final = 0.05
"""Half of the step that relative humidity has in real fields: a share may be beyond its limits by so much [%]."""

DEWPOINT_SLACK: Final = 0.1
"""Temperature and dew point have steps of 1/16 K in real fields, so that rounding sets them apart by up to so much,
and a little for bilinear weights [K]."""

DRY_DEWPOINT: Final = 192.125
"""-81.03 degC: a real field holds it as 192.12479 [K]."""
DRY_DEWPOINT_SLACK: Final = 0.0375
"""Half of a step of 1/16 K, and a little [K]."""

DRY_HUMIDITY: Final = 1.0
"""The floor of NCEP's post-processor [%]."""
DRY_HUMIDITY_SLACK: Final = 0.01
"""A tenth of the step in real fields [%]."""

NO_DATA_VALUES: Final = {"RETOP": -999.0, "CPOFP": -50.0, "HGT:cloud ceiling": 9999.0}
"""``ELEMENT`` or ``ELEMENT:LEVEL`` to the number that stands for nothing there."""

CLOSURE_FROM: Final = 50.0
"""Below so much light nothing is said [W m-2]."""
CLOSURE_HIGH_SUN: Final = 0.08
CLOSURE_LOW_SUN: Final = 0.15
"""Relative to beam and diffuse together; the sun is low from a zenith angle of 75 degrees on."""
LOW_SUN: Final = float(np.cos(np.radians(75)))
NO_SUN: Final = float(np.cos(np.radians(93)))


@dataclass(frozen=True, slots=True)
class _Rules:
    """What is looked at in the rows of a stack of variables."""

    low: NDArray[np.float32]
    """dims (variable, 1); -inf where there is no limit."""
    high: NDArray[np.float32]
    """dims (variable, 1); inf where there is no limit."""
    dewpoints: tuple[int, ...]
    """Rows of dew point."""
    humidities: tuple[tuple[int, int | None], ...]
    """Rows of relative humidity, and of dew point at the same level."""
    no_data: tuple[tuple[int, float], ...]
    """Row and the number that stands for nothing."""
    beams: tuple[int, ...]
    """Rows of direct normal irradiance."""
    moist: tuple[tuple[int, int], ...]
    """Rows of dew point and of temperature at the same level."""
    solar: tuple[tuple[int, int, int], ...]
    """Rows of global, beam and diffuse irradiance of the same moment."""


def quality_flags(
    values: Mapping[str, NDArray[np.float32]],
    variables: Sequence[Variable],
    *,
    valid_time: Times | None = None,
    latitude: ArrayLike | None = None,
    longitude: ArrayLike | None = None,
) -> dict[str, NDArray[np.uint16]]:
    """Flag values that are physically out of place.

    Parameters
    ----------
    values : mapping of str to ndarray of float32
        Name of the variable to its values, all of the same shape, often (point,) [unit of the catalogue].
    variables : sequence of Variable
        What the names mean; those without values are passed over.
    valid_time : datetime, or ndarray of datetime64 that broadcasts to the values, optional
        When the values hold, UTC. Without it and the places nothing is said on solar closure.
    latitude, longitude : array_like that broadcasts to the values, optional
        Where [degrees north and east].

    Returns
    -------
    dict of str to ndarray of uint16
        The masks of :data:`FLAGS`, added up; 0 for a value that is missing, and where nothing is out of place.

    Raises
    ------
    ValueError
        If shapes differ, or a name is that of no variable.

    Examples
    --------
    >>> from hrrr_dask.catalog.variables import CATALOG
    >>> air = {"temperature_2m": np.array([290, 400, np.nan], dtype="float32")}
    >>> quality_flags(air, list(CATALOG.values()))["temperature_2m"].tolist()
    [0, 2, 0]
    """
    names = tuple(values)
    if not names:
        return {}
    shape = np.shape(values[names[0]])
    wrong = [name for name in names if np.shape(values[name]) != shape]
    if wrong:
        raise ValueError(
            f"values are of one shape, {shape} as those of {names[0]}, not {np.shape(values[wrong[0]])} as those of "
            f"{wrong[0]}: give what belongs together"
        )
    rules = _rules_of(names, tuple(variables))
    stack = np.stack([np.asarray(values[name], dtype=np.float32).ravel() for name in names])
    with np.errstate(invalid="ignore", over="ignore"):  # infinities are compared like any other number
        flags = _flag_values(stack, rules)
        if rules.solar and valid_time is not None and latitude is not None and longitude is not None:
            height = np.broadcast_to(cos_zenith(valid_time, latitude, longitude), shape).ravel()
            for rows in rules.solar:
                whole, beam, diffuse = rows
                flags[list(rows)] |= _not_closed(stack[whole], stack[beam], stack[diffuse], height) * CLOSURE
    return {name: flags[k].reshape(shape) for k, name in enumerate(names)}


def own_flags(values: NDArray[np.float32], names: Sequence[str], variables: Sequence[Variable]) -> dict[str, int]:
    """What the values of each variable tell without looking at another one.

    So it is the same whichever variables were read together: a gap that heals later changes nothing.

    Parameters
    ----------
    values : ndarray of float32, dims (variable, point)
        NaN where there is none [unit of the catalogue].
    names : sequence of str
        Of the rows.
    variables : sequence of Variable
        What the names mean.

    Returns
    -------
    dict of str to int
        Name to the masks of :data:`FLAGS` that any of its values has, for variables that have any.

    Examples
    --------
    >>> from hrrr_dask.catalog.variables import CATALOG
    >>> own_flags(np.array([[290, 400]], np.float32), ["temperature_2m"], list(CATALOG.values()))
    {'temperature_2m': 2}
    """
    if not values.size:
        return {}
    rules = _rules_of(tuple(names), tuple(variables))
    alone = replace(rules, humidities=tuple((row, None) for row, _ in rules.humidities), moist=())
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.bitwise_or.reduce(_flag_values(values, alone), axis=1)
    return {name: int(mask) for name, mask in zip(names, found, strict=True) if mask}


def _flag_values(stack: NDArray[np.float32], rules: _Rules) -> NDArray[np.uint16]:
    """All that needs neither time nor place; dims (variable, value)."""
    flags = (stack < rules.low).astype(np.uint16)
    flags |= (stack > rules.high) * ABOVE
    for row in rules.dewpoints:
        flags[row] |= (np.abs(stack[row] - DRY_DEWPOINT) <= DRY_DEWPOINT_SLACK) * MOISTURE
    for row, dewpoint in rules.humidities:
        dry = np.abs(stack[row] - DRY_HUMIDITY) <= DRY_HUMIDITY_SLACK
        flags[row] |= dry * MOISTURE
        if dewpoint is not None:  # both come from the same moisture
            flags[dewpoint] |= (dry & ~np.isnan(stack[dewpoint])) * MOISTURE
    for row in rules.beams:
        flags[row] |= (stack[row] > SOLAR_CONSTANT) * BEAM
    for row, temperature in rules.moist:
        flags[row] |= (stack[row] - stack[temperature] > DEWPOINT_SLACK) * DEWPOINT
    for row, nothing in rules.no_data:
        flags[row] = np.where(stack[row] == nothing, NO_DATA, flags[row])
    return flags


@lru_cache(maxsize=64)
def _rules_of(names: tuple[str, ...], variables: tuple[Variable, ...]) -> _Rules:
    by_name = {variable.name: variable for variable in variables}
    strange = [name for name in names if name not in by_name]
    if strange:
        raise ValueError(
            f"values of {', '.join(strange)} are of no variable that was given: name them, or leave them out"
        )
    selectors = [by_name[name].selector for name in names]
    rows = {(selector.element, selector.level, selector.window): row for row, selector in enumerate(selectors)}

    def beside(row: int, element: str) -> int | None:
        return rows.get((element, selectors[row].level, selectors[row].window))

    dewpoints, humidities, moist, solar = [], [], [], []
    for row, selector in enumerate(selectors):
        if selector.element == "DPT":
            dewpoints.append(row)
            temperature = beside(row, "TMP")
            moist += [] if temperature is None else [(row, temperature)]
        elif selector.element == "RH":
            humidities.append((row, beside(row, "DPT")))
        elif selector.element == "DSWRF" and selector.window.kind in (None, "instant"):
            beam, diffuse = beside(row, "VBDSF"), beside(row, "VDDSF")
            solar += [] if beam is None or diffuse is None else [(row, beam, diffuse)]
    bounds = [_bounds(by_name[name]) for name in names]
    return _Rules(
        low=np.array([[low] for low, _ in bounds], dtype=np.float32),
        high=np.array([[high] for _, high in bounds], dtype=np.float32),
        dewpoints=tuple(dewpoints),
        humidities=tuple(humidities),
        no_data=tuple(
            (row, NO_DATA_VALUES[key])
            for row, selector in enumerate(selectors)
            for key in (selector.element, f"{selector.element}:{selector.level}")
            if key in NO_DATA_VALUES
        ),
        beams=tuple(row for row, selector in enumerate(selectors) if selector.element == "VBDSF"),
        moist=tuple(moist),
        solar=tuple(solar),
    )


def _bounds(variable: Variable) -> tuple[float, float]:
    if variable.limits is None:
        return -np.inf, np.inf
    low, high = variable.limits
    slack = PERCENT_SLACK if variable.units == "%" else 0.0
    return low - slack, high + slack


def _not_closed(
    whole: NDArray[np.float32], beam: NDArray[np.float32], diffuse: NDArray[np.float32], height: NDArray[np.float64]
) -> NDArray[np.bool_]:
    parts = beam * np.maximum(height, 0) + diffuse
    allowed = np.where(height > LOW_SUN, CLOSURE_HIGH_SUN, CLOSURE_LOW_SUN) * parts
    told = (height > NO_SUN) & (np.maximum(whole, parts) > CLOSURE_FROM)
    apart: NDArray[np.bool_] = told & (np.abs(whole - parts) > allowed)
    return apart


def names_of(mask: int) -> tuple[str, ...]:
    """The names of the flags in a mask, in the order of the tables.

    Examples
    --------
    >>> names_of(5)
    ('below-limits', 'moisture-sentinel')
    """
    return tuple(flag.name for flag in (*FLAGS.values(), *STEP_FLAGS.values()) if mask & flag.mask)
