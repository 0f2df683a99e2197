"""Computes wind speed and direction at any height from the components at 10 and 80 m.

Between and beyond these heights the speed follows the power law ``v(h) = v80 * (h / 80) ** alpha`` with the exponent
``alpha = ln(v80 / v10) / ln(80 / 10)`` of each forecast. Sources:

- C. G. Justus and A. Mikhail (1976), Height variation of wind speed and wind distributions statistics, Geophysical
  Research Letters 3(5), 261-264, https://doi.org/10.1029/GL003i005p00261.
- J. S. Touma (1977), Dependence of the wind profile power law on stability for various locations, Journal of the Air
  Pollution Control Association 27(9), 863-866, https://doi.org/10.1080/00022470.1977.10470503: the exponent depends on
  stability, and 1/7 holds for neutral air only.
- IEC 61400-1, normal wind profile: 0.2, for turbines on land.
- M. Kaltschmitt, W. Streicher and A. Wiese (2007), Renewable Energy, Springer, https://doi.org/10.1007/3-540-70949-5:
  exponents of 0.06 to 0.60 by surface and stability, as in ``pvlib.atmosphere.windspeed_powerlaw``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrrr_dask.errors import ConfigError, UsageError
from hrrr_dask.read.gather import compute_lazily

__all__ = ["LARGEST_SHEAR", "wind"]

LARGEST_SHEAR: Final = 0.6
"""Bound of the exponent's absolute value beyond 10 and 80 m: the largest of Kaltschmitt et al. (2007)."""

Floats: TypeAlias = NDArray[np.floating[Any]]

_LOW: Final = 10
_HIGH: Final = 80
_LEVELS: Final = (_LOW, _HIGH)
"""Heights of the stored components [m]."""
_LOG_RATIO: Final = np.log(_HIGH / _LOW)


def wind(ds: xr.Dataset, height: float | xr.DataArray = 80, shear: float | xr.DataArray | None = None) -> xr.Dataset:
    """Compute wind speed and direction at a height, such as that of a turbine's hub.

    Parameters
    ----------
    ds : xarray.Dataset
        Any dims, such as ``(init_time, lead_time, point)``, with the variables ``u_component_wind_10m``,
        ``v_component_wind_10m``, ``u_component_wind_80m`` and ``v_component_wind_80m``; at 10 or 80 m, or with
        ``shear``, those of one height are enough.
    height : float or xarray.DataArray
        Height above ground; an array of dims ``(point,)`` for points of different heights [m].
    shear : float, xarray.DataArray or None
        A constant exponent of the power law, such as 0.14; an array as for ``height`` [1]. None takes the exponent of
        each forecast, from its speeds at 10 and 80 m.

    Returns
    -------
    xarray.Dataset
        Float32 variables ``wind_speed`` [m s-1] and ``wind_from_direction`` [degree], dims as those of the components,
        with all coordinates of the dataset, and the coordinate ``height`` [m]. Nothing is read.

    Raises
    ------
    ConfigError
        If a height is not a positive number, or ``shear`` is not a number.
    UsageError
        If the dataset lacks a component that is needed.

    Notes
    -----
    At 10 and 80 m, the speed is ``hypot(u, v)``. At other heights it is ``v80 * (height / 80) ** alpha`` with
    ``alpha = ln(v80 / v10) / ln(80 / 10)`` [1]_ [2]_. Above 80 m and below 10 m, ``alpha`` is kept within -0.6 and 0.6,
    because it grows without bound if the air at one height is nearly calm; 0.6 is the largest exponent in tables [3]_.
    So if the air at 10 m is calm, it is 0.6 above 80 m. Between 10 and 80 m, the speed is then ``v80 * ln(height / 10)
    / ln(80 / 10)``. Values are NaN only where a component is missing.

    With ``shear``, the speed is ``v * (height / z) ** shear`` with the speed at height z, the one of 10 and 80 m that
    is nearer as a ratio, or that the dataset has. Common constants are 1/7 (neutral air, [2]_) and 0.2 (IEC 61400-1,
    normal wind profile).

    The direction is where the wind comes from, clockwise from north, above 0 to 360; it is 0 if the air is calm, as in
    ``metpy.calc.wind_direction``. Between 10 and 80 m, components are interpolated linearly in the logarithm of the
    height; above and below, and with ``shear``, the direction is that of the nearer of the two heights.

    References
    ----------
    .. [1] Justus and Mikhail (1976), https://doi.org/10.1029/GL003i005p00261
    .. [2] Touma (1977), https://doi.org/10.1080/00022470.1977.10470503
    .. [3] Kaltschmitt, Streicher and Wiese (2007), https://doi.org/10.1007/3-540-70949-5

    Examples
    --------
    >>> hubs = ds.hrrr.wind(ds.hub_height)
    >>> hubs.wind_speed.sel(init_time="2024-07-01T12", lead_time="6h").values.round(1)
    array([4.2, 5.7, 5.6], dtype=float32)
    >>> ds.hrrr.wind(100, shear=0.14).wind_speed.attrs["long_name"]
    'wind speed at 100 m'
    """
    at = _parse(ds, height, "height")
    if not bool((at > 0).all()):
        raise ConfigError(f"height={height!r} is not a height above ground: give a positive number [m], such as 100")
    exponent = None if shear is None else _parse(ds, shear, "shear")
    levels = _choose_levels(ds, at, exponent)
    order = sorted(levels, key=lambda level: len(_missing(ds, level)) != 1)  # one of two is said first
    names = {level: _find_components(ds, level, levels) for level in order}
    components = [ds.variables[name] for level in levels for name in names[level]]
    if exponent is None and len(levels) == 1:
        exponent = xr.Variable((), 0.0)
    if exponent is None:
        functions: dict[Hashable, Any] = {"wind_speed": _profile_speed, "wind_from_direction": _profile_direction}
        sources = [*components, at]
    else:
        functions = {
            "wind_speed": partial(_power_law_speed, levels),
            "wind_from_direction": partial(_nearest_direction, levels),
        }
        sources = [*components, at, exponent]
    computed = compute_lazily(functions, sources)
    where = f"at {float(at.values):g} m" if at.ndim == 0 else "at the height of each point"
    titles = {"wind_speed": ("wind speed", "m s-1"), "wind_from_direction": ("direction the wind comes from", "degree")}
    kept = {key: components[0].attrs[key] for key in ("grid_mapping", "cell_methods") if key in components[0].attrs}
    for name, variable in computed.items():
        title, units = titles[str(name)]
        variable.attrs = {"standard_name": name, "long_name": f"{title} {where}", "units": units, **kept}
    at.attrs = {"standard_name": "height", "long_name": "height above ground", "units": "m", "positive": "up"}
    return ds.drop_vars(ds.data_vars).assign(computed).assign_coords(height=at)


def _parse(ds: xr.Dataset, given: Any, name: str) -> xr.Variable:
    """Parse a number, or an array along dims of the dataset that belongs to its points."""
    array = given if isinstance(given, xr.DataArray) else xr.DataArray(given)
    if array.dtype.kind not in "iuf" or not (isinstance(given, xr.DataArray) or array.ndim == 0):
        raise ConfigError(
            f"{name}={given!r} is not a number: give one, or an xarray.DataArray with one for each point, such as a "
            "coordinate of the dataset"
        )
    if any(ds.sizes.get(dim) != size for dim, size in array.sizes.items()):
        raise ConfigError(
            f"{name} has {dict(array.sizes)} and the dataset {dict(ds.sizes)}: give one value for each point"
        )
    ids = [each.coords["point_id"].variable for each in (ds, array) if array.ndim and "point_id" in each.coords]
    if len(ids) == 2 and not ids[0].equals(ids[1]):
        raise ConfigError(f"{name} is for other points than those of the dataset: select both alike")
    found = xr.Variable(array.dims, array.values.astype(np.float64))
    if not bool(np.isfinite(found).all()):
        raise ConfigError(f"{name} is missing or infinite at some points: fill it, such as {name}.fillna(…)")
    return found


def _choose_levels(ds: xr.Dataset, height: xr.Variable, shear: xr.Variable | None) -> list[int]:
    """Return which of the stored heights are needed [m]."""
    if shear is None:
        return [int(height.values)] if height.ndim == 0 and height.values in _LEVELS else [*_LEVELS]
    known = [level for level in _LEVELS if not _missing(ds, level)]
    known = known or [level for level in _LEVELS if len(_missing(ds, level)) == 1] or [*_LEVELS]
    return sorted({min(known, key=lambda level: abs(np.log(h / level))) for h in height.values.ravel()})


def _find_components(ds: xr.Dataset, level: int, levels: Sequence[int]) -> list[str]:
    """Return the names of the components at a height, one of those that are needed [m]."""
    missing = _missing(ds, level)
    if not missing:
        return _names(level)
    there = [name for name in _names(level) if name not in missing]
    found = f"and this dataset has only {there[0]}" if there else "which this dataset does not have"
    other = [each for each in levels if not _missing(ds, each)]
    raise UsageError(
        f"the wind at {level} m needs {' and '.join(missing)}, {found}: keep both components when variables are "
        "selected, or add what is missing to the store with hrrr-dask add-variables"
        + ("; a constant exponent such as shear=0.14 needs one height only" if other else "")
    )


def _missing(ds: xr.Dataset, level: int) -> list[str]:
    return [name for name in _names(level) if name not in ds.data_vars]


def _names(level: int) -> list[str]:
    return [f"{axis}_component_wind_{level}m" for axis in "uv"]


def _profile_speed(u_low: Floats, v_low: Floats, u_high: Floats, v_high: Floats, height: Floats) -> Floats:
    """Speed on the power law through 10 and 80 m."""
    low, high = _speed(u_low, v_low), _speed(u_high, v_high)
    weight = _weight(height)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        alpha = np.clip(np.log(high / low) / _LOG_RATIO, -LARGEST_SHEAR, LARGEST_SHEAR)
        alpha = np.where((low == 0) & (high == 0), 0, alpha)
        calm = (low == 0) | (high == 0)
        between = np.where(calm, low + (high - low) * weight, low ** (1 - weight) * high**weight)
        above, below = high * (height / _HIGH) ** alpha, low * (height / _LOW) ** alpha
    return np.where(weight > 1, above, np.where(weight < 0, below, between))


def _profile_direction(u_low: Floats, v_low: Floats, u_high: Floats, v_high: Floats, height: Floats) -> Floats:
    weight = _weight(height)
    return _direction(*(_between(low, high, weight) for low, high in ((u_low, u_high), (v_low, v_high))))


def _between(low: Floats, high: Floats, weight: Floats) -> Floats:
    return np.where(weight >= 1, high, np.where(weight <= 0, low, low * (1 - weight) + high * weight))


def _power_law_speed(levels: Sequence[int], *arrays: Floats) -> Floats:
    """Speed on the power law with a constant exponent, from the nearest level."""
    *components, height, shear = arrays
    u, v, level = _nearest(levels, components, height)
    return _speed(u, v) * (height / level) ** shear


def _nearest_direction(levels: Sequence[int], *arrays: Floats) -> Floats:
    *components, height, _ = arrays
    u, v, _ = _nearest(levels, components, height)
    return _direction(u, v)


def _nearest(levels: Sequence[int], components: Sequence[Floats], height: Floats) -> tuple[Floats, Floats, Floats]:
    """Return u, v and the height [m] of the level that is nearest as a ratio."""
    u, v = components[:2]
    if len(levels) == 1:
        return u, v, np.asarray(levels[0], dtype=np.float64)
    is_high = _weight(height) >= 0.5
    return np.where(is_high, components[2], u), np.where(is_high, components[3], v), np.where(is_high, _HIGH, _LOW)


def _weight(height: Floats) -> Floats:
    """Weight of 80 m against 10 m in the logarithm of the height."""
    return np.asarray(np.log(height / _LOW) / _LOG_RATIO)


def _speed(u: Floats, v: Floats) -> Floats:
    return np.hypot(u.astype(np.float64), v)


def _direction(u: Floats, v: Floats) -> Floats:
    """Return where the wind comes from, clockwise from north, 0 for calm air [degree]."""
    angle = np.degrees(np.arctan2(-u.astype(np.float64), -v.astype(np.float64)))
    angle = np.where(angle <= 0, angle + 360, angle)
    return np.where((u == 0) & (v == 0), 0, angle)
