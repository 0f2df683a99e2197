"""Lead times of a quarter of an hour: against loops over every run, lead time and valid time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from support import needs
from support.forecasts import (
    HOUR,
    MINUTE,
    SELECTORS,
    CountingStore,
    best_of,
    check_by_valid_time,
    check_choice,
    check_latest,
    forecasts,
    value,
)
from zarr.storage import LocalStore

from hrrr_dask.errors import ConfigError
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.read.accessor import best_estimate, by_valid_time, fixed_lead, latest

QUARTERS = [quarter / 4 for quarter in range(29)]
"""Up to 7 h, so that there are sums of six hours [h]."""

CYCLES = st.sets(st.integers(0, 23), min_size=1, max_size=5)
LEADS = st.sets(st.integers(0, 40).map(lambda quarter: quarter / 4), min_size=1, max_size=8)
CHUNKS = st.sampled_from([None, {"init_time": 3, "lead_time": 2, "point": 2}, {}])


@pytest.fixture(params=[None, {}], ids=["lazy", "dask"])
def ds(request, tmp_path) -> xr.Dataset:
    made = forecasts(range(24), QUARTERS, n_days=2)
    encoding = {name: {"chunks": (24, len(QUARTERS), 2)} for name in SELECTORS}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    return xr.open_zarr(tmp_path / "s.zarr", chunks=request.param, consolidated=False, decode_timedelta=True)


def in_chunks(ds: xr.Dataset, chunks: Any) -> xr.Dataset:
    return ds if chunks is None else ds.chunk(chunks)


# --- fixed_lead ---


@pytest.mark.parametrize(
    "lead",
    [
        0.25,
        np.float32(0.25),
        "0.25",
        "15min",
        "15 m",
        "0.25h",
        "0h15min",
        np.timedelta64(15, "m"),
        np.timedelta64(900, "s"),
        timedelta(minutes=15),
        pd.Timedelta("15min"),
        xr.DataArray(np.timedelta64(15, "m").astype("timedelta64[ns]")),
    ],
    ids=repr,
)
def test_a_lead_time_may_be_written_as_hours_or_as_a_duration(lead):
    ds = forecasts(range(24), QUARTERS, n_days=1)
    found = fixed_lead(ds, lead)
    assert found.lead_time.values == 15 * MINUTE
    for k, init in enumerate(ds.init_time.values):
        assert found.valid_time.values[k] == init + 15 * MINUTE
        for name in SELECTORS:
            np.testing.assert_array_equal(found[name].values[k], value(ds, name, init, 15 * MINUTE))
    xr.testing.assert_identical(found, ds.hrrr.fixed_lead(lead))


def test_whole_hours_may_be_written_as_durations_too():
    ds = forecasts()
    for lead in ("6h", "6", "6 h 0 min", "360min", np.timedelta64(6, "h"), timedelta(hours=6), 6, 6.0, np.int64(6)):
        xr.testing.assert_identical(fixed_lead(ds, lead), fixed_lead(ds, 6))
    day = forecasts(leads=[24])
    xr.testing.assert_identical(fixed_lead(day, "1D"), fixed_lead(day))


def test_a_lead_time_that_is_not_there_is_named_in_hours_and_minutes():
    ds = forecasts(leads=[0, 0.25, 0.5, 0.75, 1, 6])
    with pytest.raises(ConfigError, match=r"lead time 1 h 15 min is not in .* has 0-1 h every 15 min, 6 h: give one"):
        fixed_lead(ds, "75min")
    with pytest.raises(ConfigError, match=r"lead time 20 min is not in .* has 0-1 h every 15 min, 6 h: give one"):
        fixed_lead(ds, 1 / 3)
    with pytest.raises(ConfigError, match=r"lead time 10s is not in .* has 0-1 h every 15 min, 6 h"):
        fixed_lead(ds, "10s")
    with pytest.raises(ConfigError, match=r"lead time -0.25 is not in"):
        fixed_lead(ds, -0.25)
    with pytest.raises(ConfigError, match=r"lead time 15 min .* has 1 h, 6 h: .*--lead-times .*subh has quarter"):
        fixed_lead(forecasts(leads=[1, 6]), 0.25)
    with pytest.raises(ConfigError, match=r"which has no lead times"):
        fixed_lead(ds.isel(lead_time=slice(0, 0)), 6)


@pytest.mark.parametrize(
    "lead", ["soon", "", "15 parsecs", None, float("nan"), float("inf"), np.timedelta64("NaT"), pd.NaT]
)
def test_what_is_not_a_lead_time_is_refused(lead):
    with pytest.raises(ConfigError, match=r"is not a lead time.* of hours, such as .*, or a duration"):
        fixed_lead(forecasts(), lead)


# --- by_valid_time, best_estimate, latest ---


@settings(max_examples=25, deadline=None)
@given(CYCLES, LEADS, st.integers(1, 2), st.integers(0, 99), CHUNKS)
def test_each_forecast_stands_at_its_quarter_hour(cycles, leads, n_days, seed, chunks):
    ds = in_chunks(forecasts(cycles, leads, n_days, seed=seed), chunks)
    result = by_valid_time(ds)
    assert (result.temperature_2m.chunks is None) == (chunks is None)
    check_by_valid_time(ds.compute(), result.compute())


@settings(max_examples=40, deadline=None)
@given(CYCLES, LEADS, st.integers(1, 2), st.integers(0, 99), CHUNKS)
def test_the_best_estimate_of_each_quarter_hour_is_the_best(cycles, leads, n_days, seed, chunks):
    ds = in_chunks(forecasts(cycles, leads, n_days, seed=seed), chunks)
    whole = ds.compute()
    check_choice(whole, best_estimate(ds).compute(), lambda valid, first: best_of(whole, valid, first))


@settings(max_examples=40, deadline=None)
@given(CYCLES, LEADS, st.integers(1, 3), st.integers(0, 99), CHUNKS, st.integers(-5 * 60, 80 * 60))
def test_the_latest_begins_with_the_quarter_hour_and_uses_what_was_published(
    cycles, leads, n_days, seed, chunks, minutes
):
    ds = in_chunks(forecasts(cycles, leads, n_days, seed=seed), chunks)
    moment = np.datetime64("2024-07-01T00:00") + np.timedelta64(minutes, "m")
    check_latest(ds.compute(), latest(ds, moment).compute(), moment)


@pytest.mark.parametrize(
    ("leads", "moment", "first"),
    [
        (QUARTERS, "2024-07-02T07:44:59", "2024-07-02T07:30"),
        (QUARTERS, "2024-07-02T07:45", "2024-07-02T07:45"),
        (QUARTERS[::2], "2024-07-02T07:44", "2024-07-02T07:30"),
        (QUARTERS[::4], "2024-07-02T07:59", "2024-07-02T07:00"),
        ([*QUARTERS[::4], 6.25], "2024-07-02T07:59", "2024-07-02T08:00"),
    ],
)
def test_the_latest_begins_at_the_last_step_of_the_lead_times(leads, moment, first):
    ds = forecasts(range(24), leads, n_days=3)
    ds["available_at"] = (ds.status.dims, np.broadcast_to(ds.init_time.values[:, None], ds.status.shape))
    assert latest(ds, moment).valid_time.values[0] == np.datetime64(first)


def test_a_window_begins_when_it_fits_into_the_run():
    ds = forecasts(range(24), QUARTERS, n_days=1)
    ds["status"] = xr.full_like(ds.status, COMPLETE)
    at = {"valid_time": "2024-07-01T12:15"}
    found = {name: best_estimate(ds[[name]]).sel(at).lead_time.values / MINUTE for name in SELECTORS}
    assert found == {"temperature_2m": 15, "precipitation_1h": 75, "precipitation_6h": 375, "solar_15min": 15}
    at = {"valid_time": "2024-07-01T12:00"}
    found = {name: best_estimate(ds[[name]]).sel(at).lead_time.values / MINUTE for name in SELECTORS}
    assert found == {"temperature_2m": 0, "precipitation_1h": 60, "precipitation_6h": 360, "solar_15min": 60}


# --- whatever the dataset looks like ---

ASK = {
    "fixed_lead": lambda ds: fixed_lead(ds, "4h15min"),
    "by_valid_time": by_valid_time,
    "latest": lambda ds: latest(ds, "2024-07-01T20:40"),
    "best_estimate": best_estimate,
}
every_question = pytest.mark.parametrize("ask", ASK.values(), ids=ASK)


@every_question
@pytest.mark.parametrize("single", [{"init_time": 19}, {"lead_time": 17}, {"init_time": 19, "lead_time": 17}], ids=str)
def test_a_single_time_is_an_axis_of_length_one(ds, ask, single):
    result = ask(ds.isel(single))
    assert not result.temperature_2m.variable._in_memory
    xr.testing.assert_identical(result.compute(), ask(ds.isel({dim: [k] for dim, k in single.items()})).compute())
    assert result.sizes["valid_time"] > 0


@every_question
def test_runs_and_lead_times_that_were_never_in_the_store_change_nothing(ask):
    ds = forecasts(range(0, 24, 3), QUARTERS[1::2], n_days=2)
    wider = ds.reindex(
        init_time=pd.date_range("2024-06-30", "2024-07-04", freq="h"),
        lead_time=pd.timedelta_range("0min", "8h", freq="15min"),
    )
    assert np.isnan(wider.status).any()
    found, expected = ask(wider).compute(), ask(ds).compute()
    there = {"valid_time": expected.valid_time}
    if "lead_time" in expected.dims:
        there["lead_time"] = expected.lead_time
    known = found.isel(valid_time=found.valid_time.isin(expected.valid_time).values).sel(
        {dim: label for dim, label in there.items() if dim == "lead_time"}
    )
    for name in SELECTORS:
        np.testing.assert_array_equal(known[name].values, expected[name].values)
        assert np.isfinite(found[name].values).sum() == np.isfinite(expected[name].values).sum()


@every_question
def test_everything_stays_lazy(ds, ask):
    result = ask(ds)
    assert (result.temperature_2m.chunks is None) == (ds.temperature_2m.chunks is None)
    assert not result.temperature_2m.variable._in_memory
    np.testing.assert_array_equal(result.temperature_2m, ask(ds.compute()).temperature_2m)


@pytest.fixture(params=[None, {}], ids=["lazy", "dask"])
def counted(request, tmp_path) -> tuple[xr.Dataset, CountingStore, xr.Dataset]:
    """Four days of hourly runs, in one chunk for each day and point."""
    made = forecasts(range(24), QUARTERS, n_days=4)
    encoding: dict[str, Any] = {name: {"chunks": (24, len(QUARTERS), 1)} for name in SELECTORS}
    encoding |= {name: {"chunks": (24, len(QUARTERS))} for name in ("status", "available_at", "valid_time")}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    opened = xr.open_zarr(store, chunks=request.param, consolidated=False, decode_timedelta=True)
    store.take()
    return opened, store, made


def test_only_the_chunks_of_the_point_and_the_runs_are_read(counted):
    ds, store, made = counted
    series = fixed_lead(ds, "15min").temperature_2m.isel(point=1)
    assert store.take() == []
    np.testing.assert_array_equal(series.sel(valid_time="2024-07-02"), made.temperature_2m.values[24:48, 1, 1])
    assert set(store.take()) == {"temperature_2m/c/1/0/1"}
    table = by_valid_time(ds.drop_vars("point_id")).temperature_2m.isel(point=2)
    assert store.take() == []
    _ = table.sel(valid_time="2024-07-03T12:15").values
    assert set(store.take()) <= {"temperature_2m/c/2/0/2", "temperature_2m/c/1/0/2"}
    best = best_estimate(ds)
    assert set(store.take()) == {f"status/c/{day}/0" for day in range(4)}
    _ = best.temperature_2m.isel(point=0).sel(valid_time=slice("2024-07-03T12:15", "2024-07-03T18:45")).values
    assert set(store.take()) <= {"temperature_2m/c/2/0/0", "temperature_2m/c/1/0/0"}
    _ = latest(ds, "2024-07-03T12:40")
    assert set(store.take()) == {"available_at/c/2/0"}


# --- to_netcdf ---


@pytest.mark.parametrize(
    ("ask", "units"),
    [
        (lambda ds: ds, "minutes"),
        (lambda ds: ds.isel(lead_time=slice(None, None, 4)), "hours"),
        (ASK["fixed_lead"], "minutes"),
        (ASK["by_valid_time"], "minutes"),
        (ASK["latest"], "minutes"),
        (ASK["best_estimate"], "minutes"),
        (lambda ds: ds.isel(lead_time=5, init_time=3), "minutes"),
        (lambda ds: ds.reindex(lead_time=[15 * MINUTE, 8 * HOUR]), "minutes"),
    ],
    ids=["whole", "hours", *ASK, "single", "reindexed"],
)
def test_a_netcdf_file_has_the_times_in_whole_minutes_or_hours(ds, ask, units, tmp_path):
    needs.extra("netCDF4")
    wanted = ask(ds)
    wanted.hrrr.to_netcdf(tmp_path / "x.nc")
    found = xr.load_dataset(tmp_path / "x.nc", decode_timedelta=True)
    for name in ("init_time", "lead_time", "valid_time", "available_at", *SELECTORS):
        assert found[name].equals(wanted[name]), name
    raw = xr.load_dataset(tmp_path / "x.nc", decode_times=False, decode_timedelta=False)
    assert (raw.lead_time.attrs["units"], raw.lead_time.dtype) == (units, np.int64)
    assert (raw.valid_time.attrs["units"], raw.valid_time.dtype) == (f"{units} since 1970-01-01", np.int64)
    if raw.init_time.ndim < 2:  # by_valid_time has times at which no run starts
        assert raw.init_time.attrs["units"] == "hours since 1970-01-01"
