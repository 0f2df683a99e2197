"""Errors of forecasts by lead time, against the analysis or observations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, cast

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hrrr_dask.catalog.lead_times import format_lead_times
from hrrr_dask.errors import ConfigError, PointsError, UsageError
from hrrr_dask.read.chunks import in_chunks
from hrrr_dask.read.gather import RUN_DIMS, Pick, Runs, gather

__all__ = ["Truth", "errors"]

Truth = xr.DataArray | xr.Dataset | pd.DataFrame
"""Observations by point and valid time."""

_LONG_NAMES: Final = {
    "bias": "mean error",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
    "crps": "continuous ranked probability score of the lagged ensemble",
    "n": "number of pairs",
    "members": "mean size of the ensemble",
}
_FORMS: Final = (
    "give a DataArray of dims (valid_time, point) with the coordinate point_id, or a DataFrame with the columns "
    "valid_time, point_id and the variable, or with valid times as index and point ids as columns"
)


def errors(ds: xr.Dataset, truth: Truth | None = None, *, members: int = 6) -> xr.Dataset:
    r"""Compare forecasts with what was true, for each lead time and point.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one. Of one variable, such as
        ``ds[["temperature_2m"]]``, or of several.
    truth : xarray.DataArray, xarray.Dataset, pandas.DataFrame or None
        None is the analysis: the forecast of lead time 0 for the same valid time, of the same dataset. Otherwise
        observations, in the units of the dataset: an array of dims ``(valid_time, point)`` with the coordinate
        ``point_id``; a table with the columns (or index levels) ``valid_time``, ``point_id`` and a column named as each
        variable; or, for one variable, a table with valid times as index and point ids as columns. Times are UTC unless
        they have a time zone.
    members : int
        Largest number of members of the lagged ensemble; 0 leaves ``crps`` and ``members`` out, and needs no extra.

    Returns
    -------
    xarray.Dataset
        Dims ``(lead_time, point)``, for several variables with ``variable`` in front; Dask arrays, nothing is read.
        Of the errors e = forecast - truth: ``bias``, ``mae``, ``rmse`` and ``crps`` [units of the variable], and ``n``,
        the number of pairs; ``members``, the mean size of the ensemble. NaN where ``n`` is 0.

    Raises
    ------
    ConfigError
        If the package ``scores`` is needed and not installed (the extra ``analysis``).
    PointsError
        If the observations have none of the dataset's points, or do not say which.
    UsageError
        If the dataset has no runs and lead times, there is no analysis, or the observations cannot be used or have no
        time in common with the forecasts.

    Notes
    -----
    A pair is a forecast and the truth at the same valid time and ``point_id``. A forecast for a time that was not
    observed, an observation for which there is no forecast, and missing values are left out. Times must be equal: round
    those of reports at minute 53 first, ``frame.valid_time.dt.round("h")``. Each lead time has its own pairs; compare
    lead times of runs that all reach as far. Against the analysis, lead time 0 is left out, because its error is 0 by
    definition; so ``n`` of a variable that has no analysis, such as precipitation, is 0.

    .. math::
        \mathrm{bias} = \bar e \qquad \mathrm{MAE} = \overline{|e|} \qquad \mathrm{RMSE} = \sqrt{\overline{e^2}}

    The lagged ensemble at a lead time has the forecast itself and the next older runs that say something of the same
    time, so longer lead times: ``members`` at most, and fewer at the longest lead times, where the CRPS grows
    towards the MAE, which it is for one member. It is that of the empirical distribution,

    .. math:: \mathrm{CRPS} = \frac{1}{M} \sum_i |x_i - y| - \frac{1}{2 M^2} \sum_{i, j} |x_i - x_j|,

    by ``scores.probability.crps_for_ensemble(method="ecdf")``; see Gneiting and Raftery 2007, J. Amer. Statist. Assoc.
    102, 359-378, and Wilks, Statistical Methods in the Atmospheric Sciences, chapter "Forecast verification".

    Examples
    --------
    >>> scores = ds[["temperature_2m"]].hrrr.errors()
    >>> scores[["mae", "n"]].sel(point_id="roscoe").to_dataframe()[["mae", "n"]].round(2)
                      mae  n
    lead_time
    0 days 06:00:00   NaN  0
    0 days 12:00:00  0.35  3
    0 days 18:00:00   NaN  0
    1 days 00:00:00  0.41  2
    """
    if members < 0:
        raise ConfigError(f"members={members} is not a size of an ensemble: give 1 or more, or 0 to leave it out")
    runs = Runs.of(ds)
    names = [name for name in ds.data_vars if set(RUN_DIMS) & set(ds[name].dims) or not set(RUN_DIMS) & set(ds.dims)]
    names = _with_truth(names, truth)
    score = _crps_function() if members else None
    found = [_errors_of(ds, name, runs, truth, members, score) for name in names]
    if len(found) == 1:
        return found[0]
    units = ("variable", [str(ds[name].attrs.get("units", "")) for name in names])
    joined: xr.Dataset = xr.concat(
        found, pd.Index([str(name) for name in names], name="variable"), combine_attrs="drop"
    )
    for name, array in joined.data_vars.items():
        array.attrs = {key: found[0][name].attrs[key] for key in ("long_name",)}
    return joined.assign_coords(units=units)


def _with_truth(names: list[Hashable], truth: Truth | None) -> list[Hashable]:
    """Return the variables that the truth has."""
    if isinstance(truth, xr.Dataset):
        kept = [name for name in names if name in truth.data_vars]
    elif isinstance(truth, xr.DataArray) and truth.name in names:
        kept = [truth.name]
    elif isinstance(truth, pd.DataFrame) and set(names) & set(truth.columns):
        kept = [name for name in names if name in truth.columns]
    elif truth is None or (len(names) == 1 and isinstance(truth, xr.DataArray | pd.DataFrame)):
        kept = names
    else:
        kept = []
    if not kept:
        what = "no variable" if not names else "none of " + ", ".join(map(str, names[:4]))
        raise UsageError(f"truth has {what} of this dataset, or it is a {type(truth).__name__}: {_FORMS}")
    return kept


def _errors_of(
    ds: xr.Dataset,
    name: Hashable,
    runs: Runs,
    truth: Truth | None,
    members: int,
    score: Callable[..., Any] | None,
) -> xr.Dataset:
    forecast = in_chunks(ds[name].reset_coords(drop=True))
    order = np.argsort(runs.leads, kind="stable")
    if truth is None:
        zero = np.flatnonzero(runs.leads == np.timedelta64(0))
        if not len(zero):
            raise UsageError(
                "the errors against the analysis need lead time 0, and this dataset has "
                f"{format_lead_times(np.sort(runs.minutes).tolist()) or 'none'}: select it too, or give observations"
            )
        valid, order = np.unique(runs.inits), order[runs.leads[order] > np.timedelta64(0)]
        actual = _gathered(forecast, runs, valid, zero[:1]).isel(lead_time=0)
    else:
        actual = _observations(truth, name, ds)
        valid = np.intersect1d(actual.valid_time.values, runs.valid_times())
        if not len(valid):
            raise UsageError(
                f"truth has no valid time of this dataset: its {actual.sizes['valid_time']} times begin at "
                f"{_first(actual.valid_time.values)}, those of the forecasts at {_first(runs.valid_times())}: give "
                "times in UTC, rounded to those of the forecasts"
            )
        actual = actual.sel(valid_time=valid)
    table = _gathered(forecast, runs, valid, order)
    if "point" not in table.dims:
        actual = actual.squeeze("point", drop=True) if "point" in actual.dims else actual
    found = _summaries(table, actual, members, score)
    units = {"units": ds[name].attrs["units"]} if "units" in ds[name].attrs else {}
    if "units_metadata" in ds[name].attrs:
        units["units_metadata"] = "temperature: difference"
    for key, array in found.data_vars.items():
        array.attrs = {"long_name": _LONG_NAMES[str(key)], **({"units": "1"} if key in ("n", "members") else units)}
    kept = {key: coord for key, coord in ds.coords.items() if not set(RUN_DIMS) & set(coord.dims)}
    kept = {key: coord for key, coord in kept.items() if key not in (*RUN_DIMS, "valid_time", *_OF_FILES)}
    leads = xr.Variable("lead_time", runs.leads[order], ds.coords["lead_time"].attrs)
    return found.assign_coords({**kept, "lead_time": leads})


_OF_FILES: Final = ("status", "quality", "available_at")


def _first(times: NDArray[np.datetime64]) -> str:
    return str(times.min().astype("datetime64[m]")) if len(times) else "no time"


def _gathered(
    forecast: xr.DataArray, runs: Runs, valid: NDArray[np.datetime64], leads: NDArray[np.intp]
) -> xr.DataArray:
    """All forecasts for each valid time at some lead times, dims (valid_time, lead_time, point)."""
    inits = Runs(runs.inits, runs.leads[leads]).positions(valid)
    pick = Pick(("valid_time", "lead_time"), inits, np.broadcast_to(leads, inits.shape))
    return in_chunks(xr.DataArray(gather(forecast.variable, pick), coords={"valid_time": valid}))


def _summaries(table: xr.DataArray, actual: xr.DataArray, members: int, score: Callable[..., Any] | None) -> xr.Dataset:
    """Averages over valid time."""
    actual = actual.chunk({"valid_time": table.chunksizes["valid_time"]}).astype(np.float64)
    table = table.astype(np.float64)
    difference = table - actual
    found = {
        "bias": difference.mean("valid_time"),
        "mae": abs(difference).mean("valid_time"),
        "rmse": cast("xr.DataArray", np.sqrt((difference**2).mean("valid_time"))),
        "n": difference.count("valid_time"),
    }
    if score is not None:
        each = xr.apply_ufunc(
            _crps,
            table,
            actual,
            input_core_dims=[["lead_time"], []],
            output_core_dims=[["lead_time"]],
            kwargs={"members": members, "score": score},
            dask="parallelized",
            output_dtypes=[np.float64],
        )
        found["crps"] = each.mean("valid_time").transpose(*found["bias"].dims)
        older = table.notnull().isel(lead_time=slice(None, None, -1)).cumsum("lead_time")
        sizes = older.isel(lead_time=slice(None, None, -1)).clip(max=members).where(difference.notnull())
        found["members"] = sizes.mean("valid_time")
    return xr.Dataset(found).drop_vars("valid_time", errors="ignore")


def _crps(
    table: NDArray[np.float64], actual: NDArray[np.float64], *, members: int, score: Callable[..., Any]
) -> NDArray[np.float64]:
    """CRPS of the ensemble that begins at each lead time, dims (..., lead_time)."""
    found = np.full(np.broadcast_shapes(table.shape, (*actual.shape, 1)), np.nan)
    dims = [f"dim_{k}" for k in range(actual.ndim)]
    for k in range(table.shape[-1]):
        older = table[..., k:]
        pair = ~np.isnan(older[..., 0]) & ~np.isnan(actual)  # scores would take means of nothing, and warn in threads
        there = np.argsort(np.isnan(older), axis=-1, kind="stable")[..., :members]
        chosen = np.where(pair[..., None], np.take_along_axis(older, there, axis=-1), 0)
        ensemble = xr.DataArray(chosen, dims=[*dims, "member"])
        truth = xr.DataArray(np.where(pair, actual, 0), dims=dims)
        scored = score(ensemble, truth, "member", method="ecdf", preserve_dims="all")
        found[..., k] = np.where(pair, scored.transpose(*dims).values, np.nan)
    return found


def _crps_function() -> Callable[..., Any]:
    try:
        from scores.probability import crps_for_ensemble  # noqa: PLC0415  an extra
    except ImportError:
        raise ConfigError(
            "the CRPS needs the package scores, which is not installed: pip install 'hrrr-dask[analysis]', or leave it "
            "out with members=0"
        ) from None
    return cast("Callable[..., Any]", crps_for_ensemble)


def _observations(truth: Truth, name: Hashable, ds: xr.Dataset) -> xr.DataArray:
    """Observations of one variable at the dataset's points, dims (valid_time, point)."""
    array = _from_frame(truth, name) if isinstance(truth, pd.DataFrame) else _from_array(truth, name)
    times = pd.DatetimeIndex(array["valid_time"].values)
    if times.has_duplicates or times.hasnans:
        raise UsageError(
            f"truth has a valid time that is missing or given twice, such as {times[times.duplicated()][:1].tolist()}: "
            "keep one value for each point and time"
        )
    array = array.assign_coords(valid_time=times.values.astype("datetime64[ns]"))
    points = [str(point) for point in np.atleast_1d(ds.coords["point_id"].values)] if "point_id" in ds.coords else None
    single = "point" not in ds.dims
    if "point_id" not in array.coords:
        if "point" in array.dims or not (single or ds.sizes["point"] == 1):
            raise PointsError(f"truth does not say which points it is of: {_FORMS}")
        return array if single else array.expand_dims(point=1, axis=-1)
    if points is None:
        raise PointsError("this dataset has no coordinate point_id to find its points in truth: keep it")
    return _at_points(array, points)


def _at_points(array: xr.DataArray, points: Sequence[str]) -> xr.DataArray:
    """Put observations into the order of the points, NaN where there are none."""
    if not array.coords["point_id"].dims:
        array = array.expand_dims(point=1, axis=-1)
    known = [str(point) for point in np.atleast_1d(array.coords["point_id"].values)]
    if len(set(known)) < len(known):
        raise PointsError("truth has a point_id twice: keep one column for each point")
    at = np.array([known.index(point) if point in known else -1 for point in points])
    if (at < 0).all():
        raise PointsError(
            f"truth has none of this dataset's points, such as {', '.join(points[:3])}; it has "
            f"{', '.join(known[:3]) or 'none'}: name its points as the dataset does"
        )
    dim = next(name for name in array.dims if name != "valid_time")
    plain = array.drop_vars([name for name in array.coords if name != "valid_time"])
    plain = plain if dim == "point" else plain.rename({dim: "point"})
    return plain.isel(point=at).where(xr.DataArray(at >= 0, dims="point")).transpose("valid_time", "point")


def _from_array(truth: xr.DataArray | xr.Dataset, name: Hashable) -> xr.DataArray:
    array = truth[name] if isinstance(truth, xr.Dataset) else truth
    others = [dim for dim in array.dims if dim != "valid_time"]
    if "valid_time" not in array.dims or "valid_time" not in array.coords or len(others) > 1:
        raise UsageError(f"truth has the dims {array.dims}, without or with more than valid_time and point: {_FORMS}")
    return array


def _from_frame(truth: pd.DataFrame, name: Hashable) -> xr.DataArray:
    """Read a table with a row for each point and time, or a column for each point."""
    levels = [level for level in truth.index.names if level is not None]
    frame = truth.reset_index(levels) if {"valid_time", "point_id"} & set(levels) else truth
    if {"valid_time", "point_id", name} <= set(frame.columns):
        keys = pd.DataFrame({"valid_time": _utc(frame["valid_time"]), "point_id": frame["point_id"].astype(str)})
        twice = keys[keys.duplicated()]
        if len(twice):
            raise UsageError(
                f"truth has {len(twice)} rows for a point and time that it has already, such as "
                f"{' at '.join(map(str, twice.iloc[0][::-1]))}: keep one of them"
            )
        wide = frame[name].set_axis(pd.MultiIndex.from_frame(keys)).unstack("point_id")
    elif isinstance(truth.index, pd.DatetimeIndex):
        wide = truth.set_axis(_utc(truth.index.to_series()).array, axis="index")
    else:
        raise UsageError(f"truth is a table with the columns {', '.join(map(str, truth.columns[:6]))}: {_FORMS}")
    coords = {"valid_time": np.asarray(wide.index, dtype="datetime64[ns]"), "point_id": wide.columns.astype(str)}
    return xr.DataArray(wide.to_numpy(dtype=np.float64), dims=("valid_time", "point_id"), coords=coords)


def _utc(times: pd.Series[Any]) -> pd.Series[Any]:
    return pd.to_datetime(times, utc=True).dt.tz_localize(None)
