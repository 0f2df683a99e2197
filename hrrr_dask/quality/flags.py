"""Flags physically implausible values: limits, sentinels, dew point above temperature, solar closure.

A flag marks a value for review. Some are artefacts of the model (a sentinel, a spike at sunrise), others could only be
errors of this package. A flagged value is not a gap: NOAA published it, and it is not changed.
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

__all__ = [
    "FLAGS",
    "SINGLE_VARIABLE_FLAGS",
    "STEP_FLAGS",
    "Flag",
    "flag_names",
    "quality_flags",
    "single_variable_flags",
]


@dataclass(frozen=True, slots=True)
class Flag:
    """One row of the table of flags."""

    name: str
    """Stable name, also a CF flag meaning."""
    mask: int
    """CF flag mask: one bit."""
    meaning: str
    """Human-readable description."""
    source: str
    """Source of the rule."""


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
"""Flag name to flag, for flags that need a single file."""

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
"""Flag name to flag, for flags that need several files (:mod:`hrrr_dask.quality.steps`); the bits are distinct from
those of :data:`FLAGS`."""

SINGLE_VARIABLE_FLAGS: Final = tuple(
    flag for flag in FLAGS.values() if flag.name not in ("dewpoint-above-temperature", "solar-closure")
)
"""Flags that need no other variable: the masks of the store's ``quality``."""

BELOW, ABOVE, MOISTURE, BEAM, DEWPOINT, CLOSURE, NO_DATA = (np.uint16(flag.mask) for flag in FLAGS.values())

SOLAR_CONSTANT: Final = 1361.0
"""Total solar irradiance, the threshold of ``beam-above-solar-constant`` [W m-2]."""

PERCENT_TOLERANCE: Final = 0.05
"""Accepted excess of percentages over their limits: half of the step of relative humidity in real fields [%]."""

DEWPOINT_TOLERANCE: Final = 0.1
"""Accepted excess of dew point over temperature: both have steps of 1/16 K in real fields, plus a margin for bilinear
weights [K]."""

DRY_DEWPOINT: Final = 192.125
"""-81.03 degC, which a real field has as 192.12479 [K]."""
DRY_DEWPOINT_TOLERANCE: Final = 0.0375
"""Half of a step of 1/16 K, plus a margin [K]."""

DRY_HUMIDITY: Final = 1.0
"""Lowest value from NCEP's post-processor [%]."""
DRY_HUMIDITY_TOLERANCE: Final = 0.01
"""A tenth of the step in real fields [%]."""

NO_DATA_VALUES: Final = {"RETOP": -999.0, "CPOFP": -50.0, "HGT:cloud ceiling": 9999.0}
"""``ELEMENT`` or ``ELEMENT:LEVEL`` to the sentinel that means no data."""

CLOSURE_MIN_FLUX: Final = 50.0
"""Smallest irradiance for which closure is tested [W m-2]."""
CLOSURE_HIGH_SUN: Final = 0.08
"""Accepted difference relative to the sum of beam and diffuse, up to a zenith angle of 75 degrees."""
CLOSURE_LOW_SUN: Final = 0.15
"""The same for larger zenith angles."""
COS_LOW_SUN: Final = float(np.cos(np.radians(75)))
COS_NO_SUN: Final = float(np.cos(np.radians(93)))
"""Cosine of the zenith angle beyond which closure is not tested."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """Rules for the rows of a stack of variables."""

    low: NDArray[np.float32]
    """dims (variable, 1); -inf without a limit."""
    high: NDArray[np.float32]
    """dims (variable, 1); inf without a limit."""
    dewpoints: tuple[int, ...]
    """Rows of dew point."""
    humidities: tuple[tuple[int, int | None], ...]
    """Row of relative humidity, and row of dew point at the same level or None."""
    no_data: tuple[tuple[int, float], ...]
    """Row and its no-data sentinel."""
    beams: tuple[int, ...]
    """Rows of direct normal irradiance."""
    temperatures: tuple[tuple[int, int], ...]
    """Rows of dew point and of temperature at the same level."""
    solar: tuple[tuple[int, int, int], ...]
    """Rows of global, beam and diffuse irradiance at the same time."""


def quality_flags(
    values: Mapping[str, NDArray[np.float32]],
    variables: Sequence[Variable],
    *,
    valid_time: Times | None = None,
    latitude: ArrayLike | None = None,
    longitude: ArrayLike | None = None,
) -> dict[str, NDArray[np.uint16]]:
    """Flag physically implausible values.

    Parameters
    ----------
    values : mapping of str to ndarray of float32
        Variable name to values, all of the same shape, often (point,) [unit of the catalogue].
    variables : sequence of Variable
        Definitions of the names; those without values are ignored.
    valid_time : datetime, or ndarray of datetime64 that broadcasts to the values, optional
        Valid time of the values, UTC. Solar closure is tested only with time and coordinates.
    latitude, longitude : array_like that broadcasts to the values, optional
        Coordinates of the values [degrees_north, degrees_east].

    Returns
    -------
    dict of str to ndarray of uint16
        Sum of the masks of :data:`FLAGS`; 0 for plausible and for missing values.

    Raises
    ------
    ValueError
        If shapes differ, or a name is not among the variables.

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
            f"wanted values of one shape, found {shape} for {names[0]} and {np.shape(values[wrong[0]])} for "
            f"{wrong[0]}: pass values of the same times and points"
        )
    rules = _make_rules(names, tuple(variables))
    stack = np.stack([np.asarray(values[name], dtype=np.float32).ravel() for name in names])
    with np.errstate(invalid="ignore", over="ignore"):  # infinities are compared like other numbers
        flags = _flag_values(stack, rules)
        if rules.solar and valid_time is not None and latitude is not None and longitude is not None:
            cosine = np.broadcast_to(cos_zenith(valid_time, latitude, longitude), shape).ravel()
            for rows in rules.solar:
                total, beam, diffuse = rows
                flags[list(rows)] |= _violates_closure(stack[total], stack[beam], stack[diffuse], cosine) * CLOSURE
    return {name: flags[k].reshape(shape) for k, name in enumerate(names)}


def single_variable_flags(
    values: NDArray[np.float32], names: Sequence[str], variables: Sequence[Variable]
) -> dict[str, int]:
    """Combine the flags of each variable that need no other variable.

    The result does not depend on which variables are read together, so a gap that is filled later does not change it.

    Parameters
    ----------
    values : ndarray of float32, dims (variable, point)
        NaN for missing values [unit of the catalogue].
    names : sequence of str
        Names of the rows.
    variables : sequence of Variable
        Definitions of the names.

    Returns
    -------
    dict of str to int
        Variable name to the masks of :data:`FLAGS` that any of its values has; without variables that have none.

    Examples
    --------
    >>> from hrrr_dask.catalog.variables import CATALOG
    >>> single_variable_flags(np.array([[290, 400]], np.float32), ["temperature_2m"], list(CATALOG.values()))
    {'temperature_2m': 2}
    """
    if not values.size:
        return {}
    rules = _make_rules(tuple(names), tuple(variables))
    alone = replace(rules, humidities=tuple((row, None) for row, _ in rules.humidities), temperatures=())
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.bitwise_or.reduce(_flag_values(values, alone), axis=1)
    return {name: int(mask) for name, mask in zip(names, found, strict=True) if mask}


def _flag_values(stack: NDArray[np.float32], rules: _Rules) -> NDArray[np.uint16]:
    """Flags that need neither time nor coordinates; dims (variable, value)."""
    flags = (stack < rules.low).astype(np.uint16)
    flags |= (stack > rules.high) * ABOVE
    for row in rules.dewpoints:
        flags[row] |= (np.abs(stack[row] - DRY_DEWPOINT) <= DRY_DEWPOINT_TOLERANCE) * MOISTURE
    for row, dewpoint in rules.humidities:
        dry = np.abs(stack[row] - DRY_HUMIDITY) <= DRY_HUMIDITY_TOLERANCE
        flags[row] |= dry * MOISTURE
        if dewpoint is not None:  # both are derived from the same moisture
            flags[dewpoint] |= (dry & ~np.isnan(stack[dewpoint])) * MOISTURE
    for row in rules.beams:
        flags[row] |= (stack[row] > SOLAR_CONSTANT) * BEAM
    for row, temperature in rules.temperatures:
        flags[row] |= (stack[row] - stack[temperature] > DEWPOINT_TOLERANCE) * DEWPOINT
    for row, sentinel in rules.no_data:
        flags[row] = np.where(stack[row] == sentinel, NO_DATA, flags[row])
    return flags


@lru_cache(maxsize=64)
def _make_rules(names: tuple[str, ...], variables: tuple[Variable, ...]) -> _Rules:
    by_name = {variable.name: variable for variable in variables}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"values of {', '.join(unknown)} are not among the variables: add the variables, or omit them")
    selectors = [by_name[name].selector for name in names]
    rows = {(selector.element, selector.level, selector.window): row for row, selector in enumerate(selectors)}

    def find_row(row: int, element: str) -> int | None:
        """Row of another element at the same level and window."""
        return rows.get((element, selectors[row].level, selectors[row].window))

    dewpoints, humidities, temperatures, solar = [], [], [], []
    for row, selector in enumerate(selectors):
        if selector.element == "DPT":
            dewpoints.append(row)
            temperature = find_row(row, "TMP")
            temperatures += [] if temperature is None else [(row, temperature)]
        elif selector.element == "RH":
            humidities.append((row, find_row(row, "DPT")))
        elif selector.element == "DSWRF" and selector.window.kind in (None, "instant"):  # the sun moves in a window
            beam, diffuse = find_row(row, "VBDSF"), find_row(row, "VDDSF")
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
        temperatures=tuple(temperatures),
        solar=tuple(solar),
    )


def _bounds(variable: Variable) -> tuple[float, float]:
    low, high = variable.limits or (-np.inf, np.inf)
    tolerance = PERCENT_TOLERANCE if variable.units == "%" else 0.0
    return low - tolerance, high + tolerance


def _violates_closure(
    total: NDArray[np.float32], beam: NDArray[np.float32], diffuse: NDArray[np.float32], cosine: NDArray[np.float64]
) -> NDArray[np.bool_]:
    expected = beam * np.maximum(cosine, 0) + diffuse
    allowed = np.where(cosine > COS_LOW_SUN, CLOSURE_HIGH_SUN, CLOSURE_LOW_SUN) * expected
    tested = (cosine > COS_NO_SUN) & (np.maximum(total, expected) > CLOSURE_MIN_FLUX)
    violated: NDArray[np.bool_] = tested & (np.abs(total - expected) > allowed)
    return violated


def flag_names(mask: int) -> tuple[str, ...]:
    """Return the names of the flags in a mask, in the order of the tables.

    Examples
    --------
    >>> flag_names(5)
    ('below-limits', 'moisture-sentinel')
    """
    return tuple(flag.name for flag in (*FLAGS.values(), *STEP_FLAGS.values()) if mask & flag.mask)
