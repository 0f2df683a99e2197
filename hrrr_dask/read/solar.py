"""Irradiance under the names that pvlib takes: instants, and averages of them by the clear-sky index."""

from __future__ import annotations

from collections.abc import Hashable
from types import ModuleType
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.errors import ConfigError, UsageError
from hrrr_dask.grid.solar import cos_zenith
from hrrr_dask.read.chunks import in_chunks
from hrrr_dask.read.times import Duration

__all__ = ["solar"]

SOLAR_CONSTANT: Final = 1361.0
"""Total solar irradiance (Kopp and Lean 2011, GRL 38, L01706) [W m-2]."""

LOW_SUN: Final = float(np.sin(np.radians(5)))
"""Sine of the elevation up to which an instant's clear-sky index is used only if there is no other."""

MAX_LOW_INDEX: Final = 1.2
"""Largest clear-sky index of a low sun."""

MAX_GAP: Final = 180.0
"""Largest distance of two instants between which the index is interpolated [min]."""

STEP: Final = 5.0
"""Largest step of the integration [min]."""

_QUARTER: Final = 15.0
"""Length of the archive's own averages [min]."""

_ATTRIBUTES: Final = {
    "ghi": ("surface_downwelling_shortwave_flux_in_air", "global horizontal irradiance"),
    "dni": ("surface_direct_along_beam_shortwave_flux_in_air", "direct normal irradiance"),
    "dhi": ("surface_diffuse_downwelling_shortwave_flux_in_air", "diffuse horizontal irradiance"),
}
_ELEMENTS: Final = {"ghi": "DSWRF", "dni": "VBDSF", "dhi": "VDDSF"}


def solar(ds: xr.Dataset, mean: Duration | None = None) -> xr.Dataset:
    r"""Return irradiance under the names that pvlib takes.

    The archive's VBDSF, "visible beam downward solar flux", is the direct *normal* irradiance of the whole solar
    spectrum, and VDDSF the diffuse *horizontal* irradiance: in real files
    :math:`\mathrm{DSWRF} = \mathrm{VBDSF} \cos z + \mathrm{VDDSF}`, z the zenith angle of the sun, which the flag
    ``solar-closure`` tests.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``, or a series along ``valid_time``, such as ``fixed_lead`` gives. With
        ``visible_beam_downward_solar_flux`` and ``visible_diffuse_downward_solar_flux``, by these names or by their
        selectors, and the coordinates ``latitude`` and ``longitude``.
    mean : float, str, timedelta or numpy.timedelta64, optional
        Length of the average that ends at each time: a number of hours, or a duration such as ``"1h"``. By default
        the instants.

    Returns
    -------
    xarray.Dataset
        ``ghi``, ``dni`` and ``dhi`` [W m-2], dims as the dataset's, as Dask arrays: nothing is read. ``ghi`` is
        ``downward_shortwave_flux`` if the dataset has it, otherwise the sum above. An instant of ``dni`` above the
        solar constant of 1361 W m-2 is NaN: a spike at sunrise, where the model divides by the cosine (the flag
        ``beam-above-solar-constant``); its ``ghi`` is right nevertheless.

    Raises
    ------
    ConfigError
        If ``mean`` is not a duration, or pvlib is needed and not installed (the extra ``analysis``).
    UsageError
        If variables or coordinates are missing, or the instants are more than 3 h apart.

    Notes
    -----
    An average is computed from instants within a run (along a series, if that is given) by interpolating the
    clear-sky index :math:`k = G / G_\mathrm{clear}` linearly between neighbouring instants, because it follows the
    clouds only, and not the height of the sun:

    .. math:: \bar G = \frac{1}{T} \int_{t-T}^{t} k(s)\, G_\mathrm{clear}(s)\, ds

    with steps of at most 5 min, separately for each component. The clear sky is the simplified Solis model of pvlib
    with its default turbidity, which cancels at the instants. Where the sun is up to 5 degrees high at one of the two
    instants, the index of the other one is used, because that of a low sun is noise. Averages are 0 at night, and NaN
    where the window begins before the first instant, where an instant is missing, and between instants more than 3 h
    apart.

    Where the dataset has the archive's own averages of 15 minutes (product ``subh``), and ``mean`` is a multiple of
    15 min, ``ghi`` and ``dni`` are averages of these, which have seen every cloud; only ``dhi`` is interpolated.
    Prefer them. The attribute ``comment`` says which it is. An average belongs to the sun of the middle of its window,
    not of the time that it ends at.

    Sources: ``pvlib.irradiance.clearsky_index`` for the index; Ineichen 2008, Solar Energy 82, 758-762, for the clear
    sky; the Solar Forecast Arbiter, whose ``reference_forecasts.models`` interpolate what a weather model says of the
    sky to 5 min, compute irradiance, and average it to hours.

    Examples
    --------
    >>> sun = ds.hrrr.solar()
    >>> sun.dni.sel(init_time="2024-07-01T12", lead_time="6h").values
    array([872., 870., 859.], dtype=float32)
    """
    parts = {name: _find(ds, element) for name, element in _ELEMENTS.items()}
    missing = [_name_of(f"{_ELEMENTS[name]}:surface:instant") for name in ("dni", "dhi") if parts[name] is None]
    missing += [name for name in ("latitude", "longitude") if name not in ds.coords]
    if missing:
        raise UsageError(
            f"irradiance needs the direct normal and the diffuse flux and places, and this dataset has no "
            f"{', '.join(missing)}: keep them, or add the variables to the store (they exist since 2016-08-23)"
        )
    dni, dhi = (_plain(cast("xr.DataArray", parts[name])) for name in ("dni", "dhi"))
    at = {name: coord.variable for name, coord in ds.coords.items()}  # as arrays, xarray would compare all coordinates
    valid = at["valid_time"] if "valid_time" in ds.dims else at["init_time"] + at["lead_time"]
    where = (valid, at["latitude"], at["longitude"])
    ghi = _apply(_close, dni, dhi, *where) if parts["ghi"] is None else _plain(parts["ghi"])
    instants = {"ghi": ghi, "dni": dni, "dhi": dhi}
    if mean is None:
        dim = "valid_time" if "valid_time" in ds.dims else "lead_time"
        found = {**instants, "dni": dni.where(~(dni > SOLAR_CONSTANT))}
        return _labelled(ds, found, f"{dim}: point", {"ghi": _comment_of_closure(parts["ghi"])})
    return _averages(ds, instants, where, _minutes(mean), _comment_of_closure(parts["ghi"]))


def _plain(array: xr.DataArray) -> xr.DataArray:
    """Put into chunks, without coordinates, which xarray would compare and so read."""
    return in_chunks(array).reset_coords(drop=True)


def _comment_of_closure(stored: xr.DataArray | None) -> str:
    return "dni times the cosine of the zenith angle, plus dhi" if stored is None else ""


def _name_of(selector: str) -> str:
    return next(name for name, variable in CATALOG.items() if str(variable.selector) == selector)


def _find(ds: xr.Dataset, element: str, minutes: int | None = None) -> xr.DataArray | None:
    """Find an instant, or an average of some minutes, at the surface."""
    for name, array in ds.data_vars.items():
        said = array.attrs.get("hrrr_selector")
        variable = CATALOG.get(str(name))
        selector = Selector.parse(said) if said is not None else None if variable is None else variable.selector
        if selector is None or selector.element != element or selector.level != "surface":
            continue
        window = selector.window
        if window.kind in (None, "instant") if minutes is None else (window.kind, window.minutes) == ("ave", minutes):
            return array
    return None


def _minutes(mean: Duration) -> float:
    value: Any = np.asarray(mean)[()]
    found: Any
    try:
        hours = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, np.timedelta64)
        found = pd.Timedelta(hours=float(value)) if hours else pd.Timedelta(value)
    except (TypeError, ValueError) as error:
        found, reason = pd.NaT, str(error)
    else:
        reason = "it must be longer than 0 and not longer than a day"
    if pd.isna(found) or not pd.Timedelta(0) < found <= pd.Timedelta(days=1):
        raise ConfigError(
            f"mean={mean!r} is not the length of an average ({reason}): give a number of hours, such as 1, or a "
            "duration, such as '1h' or '15min'"
        )
    return float(found / pd.Timedelta(minutes=1))


def _apply(function: Any, *arrays: Any) -> xr.DataArray:
    found: xr.DataArray = xr.apply_ufunc(
        function, *arrays, dask="parallelized", output_dtypes=[np.float32], keep_attrs="drop"
    )
    return found


def _close(
    dni: NDArray[np.float32],
    dhi: NDArray[np.float32],
    valid: NDArray[np.datetime64],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
) -> NDArray[np.float32]:
    total: NDArray[np.float32] = dni * np.maximum(cos_zenith(valid, latitude, longitude), 0) + dhi
    return total.astype(np.float32)


def _averages(
    ds: xr.Dataset, instants: dict[str, xr.DataArray], where: tuple[Any, ...], minutes: float, comment: str
) -> xr.Dataset:
    """Average each component: the archive's own averages if there are any, else by the clear-sky index."""
    dim = "valid_time" if "valid_time" in ds.dims else "lead_time"
    if dim not in ds.dims:
        raise UsageError("averages need instants along lead_time or valid_time, and this dataset has one time only")
    axis = ds.coords[dim].values
    axis = (axis - axis[:1]) / np.timedelta64(1, "m")
    if not (np.diff(axis) > 0).all():
        raise UsageError(f"averages need ascending times along {dim}: sort the dataset with ds.sortby({dim!r})")
    found, comments = {}, dict.fromkeys(instants, "average of instants by clear-sky index")
    comments["ghi"] += f"; instants are {comment}" if comment else ""
    for name, array in instants.items():
        own = _find(ds, _ELEMENTS[name], int(_QUARTER)) if minutes % _QUARTER == 0 else None
        if own is not None:
            found[name] = _mean_of_quarters(_plain(own), dim, axis, round(minutes / _QUARTER))
            comments[name] = "average of the archive's averages of 15 minutes"
            continue
        if not (np.diff(axis) <= MAX_GAP).any():
            raise UsageError(
                f"instants at most {MAX_GAP / 60:g} h apart are needed, and those along {dim} are further apart: keep "
                "more lead times"
            )
        found[name] = xr.apply_ufunc(
            _mean_by_index,
            array.chunk({dim: -1}),
            *where,
            input_core_dims=[[dim], [dim], [], []],
            output_core_dims=[[dim]],
            kwargs={"axis": axis, "minutes": minutes, "component": name, "pvlib": _pvlib()},
            dask="parallelized",
            output_dtypes=[np.float32],
            keep_attrs="drop",
        ).transpose(*array.dims)
    return _labelled(ds, found, f"{dim}: mean (interval: {minutes:g} minutes)", comments)


def _mean_of_quarters(array: xr.DataArray, dim: str, axis: NDArray[np.float64], count: int) -> xr.DataArray:
    """Average the last averages of 15 minutes; NaN where one is missing."""
    total: Any = 0
    for k in range(count):
        wanted = axis - k * _QUARTER
        at = np.searchsorted(axis, wanted).clip(max=len(axis) - 1)
        here = xr.DataArray(axis[at] == wanted, dims=dim)
        total = total + array.isel({dim: at}).drop_vars(dim, errors="ignore").where(here)
    return cast("xr.DataArray", total / np.float32(count))


def _mean_by_index(
    values: NDArray[np.float32],
    valid: NDArray[np.datetime64],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    *,
    axis: NDArray[np.float64],
    minutes: float,
    component: str,
    pvlib: ModuleType,
) -> NDArray[np.float32]:
    """Average by the clear-sky index, dims (..., time); ``axis`` are the times in minutes."""

    def sky(offset: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sine of the elevation, and the clear sky, at the instants moved by some minutes."""
        shift = np.timedelta64(round(offset * 60), "s")
        sine = cos_zenith(valid + shift, latitude[..., None], longitude[..., None])
        model = pvlib.clearsky.simplified_solis(np.degrees(np.arcsin(sine.clip(-1, 1))))
        model["ghi"] = model["dni"] * sine + model["dhi"]  # as the archive's; the model's own is fitted separately
        return sine, np.where(sine > 0, model[component], 0)

    sine, clear = sky(0)
    rank = (sine > 0).astype(np.int8) + (sine > LOW_SUN)
    with np.errstate(invalid="ignore", divide="ignore"):
        index = np.where(clear > 0, values / clear, 0)
    index = np.where(rank == 2, index, np.minimum(index, MAX_LOW_INDEX))
    index = np.where(np.isnan(values), np.nan, index)
    count = int(np.ceil(minutes / STEP))
    total = np.zeros(index.shape)
    for k in range(count):
        offset = minutes * ((k + 0.5) / count - 1)
        at = axis + offset
        after = np.searchsorted(axis, at).clip(1, len(axis) - 1)
        before = after - 1
        gap = axis[after] - axis[before]
        inside = (at >= axis[before]) & (at <= axis[after]) & (gap <= MAX_GAP)
        weight = (at - axis[before]) / gap
        # An index of a higher rank replaces the other one; a missing instant (NaN) makes the sum NaN all the same.
        more = rank[..., after].astype(int) - rank[..., before]
        weight = np.where(more > 0, 1.0, np.where(more < 0, 0.0, weight))
        between = index[..., before] * (1 - weight) + index[..., after] * weight
        total += np.where(inside, between * sky(offset)[1], np.nan)
    return (total / count).astype(np.float32)


def _pvlib() -> ModuleType:
    try:
        import pvlib  # noqa: PLC0415  an extra
    except ImportError:
        raise ConfigError(
            "averages of irradiance need pvlib, which is not installed: pip install 'hrrr-dask[analysis]'"
        ) from None
    return cast("ModuleType", pvlib)


def _labelled(
    ds: xr.Dataset, found: dict[str, xr.DataArray], cell_methods: str, comments: dict[str, str]
) -> xr.Dataset:
    """Make the dataset, with the coordinates of the given one and the attributes of CF."""
    made: dict[Hashable, xr.Variable] = {}
    for name in _ATTRIBUTES:
        standard_name, long_name = _ATTRIBUTES[name]
        attributes = {"standard_name": standard_name, "long_name": long_name, "units": "W m-2"}
        attributes |= {"cell_methods": cell_methods} | ({"comment": comments[name]} if comments.get(name) else {})
        if "crs" in ds.coords:
            attributes["grid_mapping"] = "crs"
        made[name] = found[name].variable.copy(deep=False)
        made[name].attrs, made[name].encoding = attributes, {}
    return xr.Dataset(made, coords=ds.coords, attrs=ds.attrs)
