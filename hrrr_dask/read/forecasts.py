"""Chooses forecasts: a fixed lead time, all forecasts for a valid time, the latest, the best estimate.

All functions take a dataset of :func:`hrrr_dask.open_dataset` or :func:`xarray.open_zarr`, whole or a selection. They
read none of its variables: the results are lazy and read only what is used.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.errors import UsageError
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, OUTCOMES
from hrrr_dask.read.gather import EXCLUDED, RUN_DIMS, Pick, Runs, gather, shortest
from hrrr_dask.read.places import at_points
from hrrr_dask.read.times import Duration, find_lead_times, parse_time

__all__ = [
    "best_estimate",
    "by_valid_time",
    "find_windows",
    "fixed_lead",
    "latest",
    "newest_runs",
    "pick_forecasts",
    "read_tiers",
    "times_of",
]

_NOTHING: Final[Mapping[Hashable, Any]] = {"status": np.uint8(NOT_INGESTED), "quality": np.uint16(0)}
"""Fill values where there is no run; NaN or NaT for all other variables."""

_EMPTY: Final = ("not-ingested", "not-in-this-era", "not-published", "access-denied", "internal-error", "poisoned")
"""Outcomes of a file without any value in the store."""

MOST_UNREAD_RUNS: Final = 24 * 8
"""Runs at the end of a store that may not have been read yet."""

_TIER: Final = np.full(256, EXCLUDED)
"""Preference of each ``status`` code: 0 for a complete file, 1 for one that may be partial."""
_TIER[[outcome.number for outcome in OUTCOMES.values() if outcome.name not in _EMPTY]] = 1
_TIER[COMPLETE] = 0

_ATTRIBUTES: Final = {
    "init_time": {"standard_name": "forecast_reference_time", "long_name": "start of the model run"},
    "lead_time": {"standard_name": "forecast_period", "long_name": "time since the start of the run"},
    "valid_time": {"standard_name": "time", "long_name": "valid time"},
    "member": {"standard_name": "realization", "long_name": "runs from the newest, which is 0, to older ones"},
}
_MINUTE: Final = np.timedelta64(1, "m")


def fixed_lead(ds: xr.Dataset, lead: Duration | Iterable[Duration] = 24) -> xr.Dataset:
    """Select one lead time of every run, as a series along valid time; or several.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one.
    lead : float, str, timedelta, numpy.timedelta64 or pandas.Timedelta, or a list of them
        Lead time: a number of hours, or a duration such as ``"15min"``, ``"1h15min"`` or ``np.timedelta64(15, "m")``.
        Several are a list, a tuple, an array or an index.

    Returns
    -------
    xarray.Dataset
        Dims ``(valid_time, point)``, in the order of the runs, with the coordinate ``init_time(valid_time)``. Of
        several lead times, dims ``(valid_time, lead_time, point)``, in the given order, as :func:`by_valid_time`
        arranges them: all valid times of any of them, NaN where the dataset has no such run. Nothing is read.

    Raises
    ------
    ConfigError
        If it is not a lead time, or the dataset has no such lead time, or the list is empty.
    UsageError
        If it has no runs and lead times.

    Examples
    --------
    >>> day_ahead = ds.hrrr.fixed_lead(24)
    >>> day_ahead.temperature_2m.sel(point_id="roscoe").to_series()
    valid_time
    2024-07-02 00:00:00    287.8125
    2024-07-02 12:00:00    278.9375
    2024-07-03 00:00:00    285.6875
    2024-07-03 12:00:00    283.3125
    Name: temperature_2m, dtype: float32
    >>> ds.temperature_2m.hrrr.fixed_lead(["6h", "24h"]).dims
    ('valid_time', 'lead_time', 'point')
    """
    runs = Runs.of(ds)
    found = find_lead_times(runs, lead)
    if found.ndim:
        return _table(ds, runs, found)
    inits = np.arange(len(runs.inits))
    pick = Pick(("valid_time",), inits, np.full_like(inits, found))
    length = runs.leads[found]
    times = {"valid_time": runs.inits + length, "init_time": runs.inits, "lead_time": length}
    return pick_forecasts(ds, times, pick)


def by_valid_time(ds: xr.Dataset, point: str | Sequence[str] | None = None) -> xr.Dataset:
    """Arrange all forecasts for each valid time by lead time.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one.
    point : str, sequence of str, or None
        A ``point_id``, which drops the dimension ``point``, or several; None for all.

    Returns
    -------
    xarray.Dataset
        Dims ``(valid_time, lead_time, point)``, with the coordinate ``init_time(valid_time, lead_time)``. Where the
        dataset has no such run, values are NaN and ``status`` is ``not-ingested``: of lead times of a quarter of an
        hour, only those of the same minute reach a valid time. Nothing is read. A variable at one point is plotted
        with ``.plot.line(x="valid_time")``. Plain ``.plot()`` is a colour mesh, which matplotlib cannot draw over
        durations: convert them to hours,
        ``one.assign_coords(lead_time=one.lead_time / np.timedelta64(1, "h")).plot()``.

    Raises
    ------
    PointsError
        If a point is not in the dataset.
    UsageError
        If it has no runs and lead times.

    Examples
    --------
    >>> everything = ds.temperature_2m.hrrr.by_valid_time(point="roscoe")
    >>> everything.sel(valid_time="2024-07-02T00").values.round(1)
    array([288.5,   nan, 288.2,   nan, 287.8], dtype=float32)
    """
    runs = Runs.of(ds)
    result = _table(ds, runs, np.arange(len(runs.leads)))
    return result if point is None else at_points(result, point)


def latest(ds: xr.Dataset, as_of: str | date | np.datetime64) -> xr.Dataset:
    """Select what was known at a time: for each later valid time, the newest forecast published by then.

    A file counts if ``available_at <= as_of``. Files with an unknown time of publication do not count, so that
    the result contains nothing from later.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one.
    as_of : str, datetime, numpy.datetime64 or pandas.Timestamp
        The time; UTC unless it has a time zone.

    Returns
    -------
    xarray.Dataset
        Dims ``(valid_time, point)``, from the hour of ``as_of`` (its quarter, if lead times are quarter hours) to the
        last time with a forecast; empty if nothing had been published. Coordinates ``init_time``, ``lead_time`` and
        ``available_at`` of dims ``(valid_time,)`` identify the forecast, NaT where there is none. A variable with a
        time window, such as an hour's precipitation, does not exist at the shortest lead times and takes the newest
        forecast that has it; the coordinates are then those of the other variables, and its own are those of
        ``latest(ds[["precipitation_1h"]], as_of)``. Only ``available_at`` of the runs that reach this far is read.

    Raises
    ------
    ConfigError
        If ``as_of`` is not a time.
    UsageError
        If the dataset has no runs and lead times, or no times of publication.

    Examples
    --------
    >>> known = ds.hrrr.latest(as_of="2024-07-02T07:15")
    >>> known.lead_time.to_series()
    valid_time
    2024-07-02 12:00:00   0 days 12:00:00
    2024-07-02 18:00:00   0 days 18:00:00
    2024-07-03 00:00:00   1 days 00:00:00
    Name: lead_time, dtype: timedelta64[ns]
    """
    runs = Runs.of(ds)
    moment = parse_time(as_of)
    hour, step = moment.astype("datetime64[h]"), np.gcd.reduce(runs.minutes, initial=60) * _MINUTE
    start = hour + (moment - hour) // step * step
    reach = np.max(runs.leads) if len(runs.leads) else np.timedelta64(0, "h")
    near = np.flatnonzero((runs.inits >= start - reach) & (runs.inits <= moment))
    if "init_time" in ds.dims:
        step = slice(near[0], near[-1] + 1) if len(near) and near[-1] - near[0] + 1 == len(near) else near
        ds, runs = ds.isel(init_time=step), Runs(runs.inits[near], runs.leads)
    ds, available = _files(ds, runs, "available_at", "make a store with this version of hrrr_dask, which records it")
    valid = runs.valid_times()
    tiers = np.where(available <= moment, np.uint8(0), EXCLUDED)
    return _chosen(ds, runs, tiers, valid[valid >= start], trim=True)


def best_estimate(ds: xr.Dataset) -> xr.Dataset:
    """Select the best estimate for each valid time: the forecast with the shortest available lead time.

    The choice depends on ``status``, not on the values: the shortest lead time whose file is complete, or if there
    is none, the shortest that may be partial.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one.

    Returns
    -------
    xarray.Dataset
        Dims ``(valid_time, point)``, all valid times of the dataset. Coordinates ``init_time`` and ``lead_time`` of
        dims ``(valid_time,)`` identify the forecast, NaT where there is none. A variable with a time window, such
        as an hour's precipitation, takes the shortest lead time that has it; the coordinates are then those of the
        other variables, and its own are those of ``best_estimate(ds[["precipitation_1h"]])``. Only
        ``status`` is read.

    Raises
    ------
    UsageError
        If the dataset has no runs and lead times, or no ``status``.

    Examples
    --------
    >>> best = ds.temperature_2m.hrrr.best_estimate()
    >>> best.sel(point_id="roscoe").to_series().head(3)
    valid_time
    2024-07-01 00:00:00    285.6250
    2024-07-01 06:00:00    285.5625
    2024-07-01 12:00:00    287.3750
    Name: temperature_2m, dtype: float32
    """
    runs = Runs.of(ds)
    ds, tiers = read_tiers(ds, runs)
    return _chosen(ds, runs, tiers, runs.valid_times())


def _table(ds: xr.Dataset, runs: Runs, leads: NDArray[np.intp]) -> xr.Dataset:
    """Arrange the forecasts of some lead times, given by position, by valid time and lead time."""
    some = Runs(runs.inits, runs.leads[leads])
    valid = some.valid_times()
    inits = some.positions(valid)
    pick = Pick(("valid_time", "lead_time"), inits, np.broadcast_to(leads, inits.shape))
    return pick_forecasts(
        ds, {"valid_time": valid, "lead_time": some.leads, "init_time": valid[:, None] - some.leads}, pick
    )


def _chosen(
    ds: xr.Dataset, runs: Runs, tiers: NDArray[np.uint8], valid: NDArray[np.datetime64], *, trim: bool = False
) -> xr.Dataset:
    """Pick the shortest lead time among the files of the best tier, dims (init_time, lead_time)."""
    some, windows = find_windows(ds, runs)
    common = shortest(runs, valid, tiers, some)
    if trim:
        length = int(np.flatnonzero(common.inits >= 0).max(initial=-1)) + 1
        valid, common = valid[:length], Pick(common.dims, common.inits[:length], common.leads[:length])
    own = {name: shortest(runs, valid, tiers, window) for name, window in windows.items()}
    return pick_forecasts(ds, {"valid_time": valid, **times_of(runs, valid, common)}, common, own)


def times_of(runs: Runs, valid: NDArray[np.datetime64], pick: Pick) -> dict[str, NDArray[Any]]:
    """Return init time and lead time of each picked forecast, NaT where there is none; dims as those of the pick."""
    here, leads = pick.inits >= 0, runs.leads[pick.leads]
    reached = valid.reshape(-1, *[1] * (here.ndim - 1))
    return {
        "init_time": np.where(here, reached - leads, np.datetime64("NaT")),
        "lead_time": np.where(here, leads, np.timedelta64("NaT")),
    }


def find_windows(ds: xr.Dataset, runs: Runs) -> tuple[NDArray[np.bool_], dict[Hashable, NDArray[np.bool_]]]:
    """Return the lead times at which some variable's time window exists, and those of each variable with fewer."""
    windows = {name: _exists(variable, runs) for name, variable in ds.data_vars.items()}
    some = np.logical_or.reduce([*windows.values()]) if windows else np.ones(len(runs.leads), dtype=bool)
    return some, {name: window for name, window in windows.items() if (window != some).any()}


def _exists(variable: xr.DataArray, runs: Runs) -> NDArray[np.bool_]:
    """Return whether the variable's time window exists at each lead time, dims (lead_time,)."""
    said = variable.attrs.get("hrrr_selector")
    if said is None:
        return np.ones(len(runs.leads), dtype=bool)
    window = Selector.parse(said).window
    return np.array([window.exists_at(minutes) for minutes in runs.minutes.tolist()], dtype=bool)


def read_tiers(ds: xr.Dataset, runs: Runs) -> tuple[xr.Dataset, NDArray[np.uint8]]:
    """Read ``status``: the dataset with it in memory, and the tier of each file, dims (init_time, lead_time)."""
    ds, status = _files(ds, runs, "status", "keep it when variables are dropped")
    return ds, _TIER[np.nan_to_num(status).astype(np.uint8)]  # NaN where the dataset was reindexed


def newest_runs(ds: xr.Dataset, inits: NDArray[np.datetime64], number: int) -> NDArray[np.intp]:
    """Return the positions of the newest runs that have been read, ascending.

    A store has all runs of its last day, and some may not have been read yet. Only the newest runs are looked at.
    """
    newest = np.argsort(inits, kind="stable")[-(number + MOST_UNREAD_RUNS) :]
    if "init_time" not in getattr(ds.coords.get("status"), "dims", ()):
        return newest[-number:]
    status = ds.coords["status"].variable.isel(init_time=newest).compute()
    codes = status.transpose("init_time", ...).values.reshape(len(newest), -1)
    read = ~np.isin(np.nan_to_num(codes), (NOT_INGESTED, NOT_OFFERED)).all(axis=1)
    return newest[read][-number:] if read.any() else newest[-number:]


def _files(ds: xr.Dataset, runs: Runs, name: str, remedy: str) -> tuple[xr.Dataset, NDArray[Any]]:
    """Read a variable of all files: the dataset with it in memory, and its values, dims (init_time, lead_time)."""
    if name not in ds.coords:
        raise UsageError(f"the coordinate {name}(init_time, lead_time) is needed, and this dataset has none: {remedy}")
    found = ds.coords[name].variable.compute()
    values = found.transpose(*(dim for dim in RUN_DIMS if dim in found.dims)).values
    return ds.assign_coords({name: found}), values.reshape(len(runs.inits), len(runs.leads))


def pick_forecasts(
    ds: xr.Dataset,
    times: Mapping[str, NDArray[Any]],
    pick: Pick,
    own: Mapping[Hashable, Pick] | None = None,
) -> xr.Dataset:
    """Replace all variables that depend on the run by the picked values; those of points only stay."""
    dims = [dim for dim in RUN_DIMS if dim in ds.dims]
    base = ds.drop_dims(dims).drop_vars(times, errors="ignore")
    made: dict[Hashable, xr.Variable] = {}
    for name, variable in ds.variables.items():
        of_files = name in ("status", "quality", "available_at") or (name in ds.data_vars and not dims)
        if name not in times and (of_files or set(dims) & set(variable.dims)):
            made[name] = gather(variable, (own or {}).get(name, pick), _NOTHING.get(name))
    for name, values in times.items():
        attributes = ds.coords[name].attrs if name in ds.coords else _ATTRIBUTES[name]
        shape = pick.dims if name == "init_time" else (name,) if name in pick.dims else pick.dims[: values.ndim]
        made[name] = xr.Variable(shape, values, attributes)
    kept = base.assign({name: made[name] for name in ds.data_vars if name in made})
    return kept.assign_coords({name: variable for name, variable in made.items() if name not in ds.data_vars})
