"""What is asked of a store: against loops over every run and lead time, and with the requests counted."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from support.forecasts import (
    HOUR,
    NAT,
    SELECTORS,
    CountingStore,
    best_of,
    check_by_valid_time,
    check_choice,
    check_latest,
    forecasts,
    valid_times,
    value,
)
from zarr.storage import LocalStore

from hrrr_dask.errors import ConfigError, PointsError, UsageError
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, OUTCOMES
from hrrr_dask.read import gather
from hrrr_dask.read.accessor import best_estimate, by_valid_time, fixed_lead, latest

CYCLES = st.sets(st.integers(0, 23), min_size=1, max_size=5)
LEADS = st.sets(st.integers(0, 30), min_size=1, max_size=6)
CHUNKS = st.sampled_from([None, {"init_time": 3, "lead_time": 2, "point": 2}, {}])


def random_forecasts(cycles: Any, leads: Any, n_days: int, seed: int, chunks: Any) -> xr.Dataset:
    ds = forecasts(cycles, leads, n_days, seed=seed)
    return ds if chunks is None else ds.chunk(chunks)


def loaded(ds: xr.Dataset) -> xr.Dataset:
    return ds.copy().compute()


@pytest.fixture(params=["memory", "lazy", "dask", "indexed"])
def ds(request, tmp_path) -> xr.Dataset:
    """The same forecasts as users may have them."""
    made = forecasts()
    if request.param == "memory":
        return made
    encoding = {name: {"chunks": (5, 7, 2)} for name in SELECTORS}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    chunks: dict[str, int] | None = {} if request.param == "dask" else None
    opened = xr.open_zarr(tmp_path / "s.zarr", chunks=chunks, consolidated=False, decode_timedelta=True)
    return opened.set_xindex("point_id") if request.param == "indexed" else opened


# --- fixed_lead ---


def test_a_fixed_lead_time_is_a_series_in_valid_time(ds):
    result, ds = fixed_lead(ds, 6).compute(), loaded(ds)
    assert dict(result.sizes) == {"valid_time": 12, "point": 3}
    assert result.temperature_2m.dims == ("valid_time", "point")
    assert result.lead_time.values == 6 * HOUR
    for k, init in enumerate(ds.init_time.values):
        assert result.init_time.values[k] == init
        assert result.valid_time.values[k] == init + 6 * HOUR
        for name in SELECTORS:
            np.testing.assert_array_equal(result[name].values[k], value(ds, name, init, 6 * HOUR))
    np.testing.assert_array_equal(result.status, ds.status.values[:, 4])
    assert result.temperature_2m.sel(valid_time="2024-07-02T12").shape == (3,)


def test_a_lead_time_that_is_not_there_is_refused_and_those_that_are_there_are_named(ds):
    with pytest.raises(ConfigError, match=r"lead time 24 h is not in .* has 0-3 h, 6-18 h every 6 h: give one of"):
        fixed_lead(ds)


def test_a_fixed_lead_time_of_one_run_or_of_a_single_lead_time_is_found_too(ds):
    one = fixed_lead(ds.isel(init_time=4), 3)
    xr.testing.assert_identical(one.compute(), fixed_lead(ds, 3).isel(valid_time=[4]).compute())
    xr.testing.assert_identical(
        fixed_lead(ds.isel(lead_time=4), 6).compute(), fixed_lead(ds.isel(lead_time=[4]), 6).compute()
    )
    assert fixed_lead(ds.isel(init_time=4, lead_time=4), 6).temperature_2m.shape == (1, 3)
    with pytest.raises(ConfigError, match="which has 6 h"):
        fixed_lead(ds.isel(lead_time=4), 3)


# --- by_valid_time ---


def test_every_forecast_for_a_time_stands_by_how_far_ahead_it_was_made(ds):
    result = by_valid_time(ds)
    assert result.temperature_2m.dims == ("valid_time", "lead_time", "point")
    assert result.temperature_2m.dtype == np.float32
    check_by_valid_time(loaded(ds), result.compute())


@settings(max_examples=25, deadline=None)
@given(CYCLES, LEADS, st.integers(1, 3), st.integers(0, 99), CHUNKS)
def test_whatever_the_cycles_and_lead_times_each_forecast_stands_at_its_valid_time(cycles, leads, n_days, seed, chunks):
    ds = random_forecasts(cycles, leads, n_days, seed, chunks)
    result = by_valid_time(ds)
    assert (result.temperature_2m.chunks is None) == (chunks is None)
    check_by_valid_time(loaded(ds), result.compute())


def test_where_a_run_is_not_in_the_dataset_the_file_counts_as_not_ingested_and_no_one_knows_when_it_came(ds):
    result = by_valid_time(ds)
    assert result.status.dtype == np.uint8
    there = np.isin(result.init_time.values, ds.init_time.values)
    assert 0 < there.sum() < there.size
    assert (result.status.values[~there] == NOT_INGESTED).all()
    assert np.isnat(result.available_at.values[~there]).all()
    assert np.isnan(result.temperature_2m.values[~there]).all()


def test_a_point_is_taken_by_its_name_with_or_without_an_index(ds):
    everything = by_valid_time(ds).temperature_2m.values
    one = by_valid_time(ds, "p1")
    assert one.temperature_2m.dims == ("valid_time", "lead_time")
    assert (str(one.point_id.values), one.latitude.values) == ("p1", 41)
    np.testing.assert_array_equal(one.temperature_2m, everything[:, :, 1])
    two = by_valid_time(ds, ["p2", "p0"])
    assert two.point_id.values.tolist() == ["p2", "p0"]
    np.testing.assert_array_equal(two.temperature_2m, everything[:, :, [2, 0]])
    again = by_valid_time(ds.isel(point=1), "p1")
    np.testing.assert_array_equal(again.temperature_2m, one.temperature_2m)


def test_an_unknown_point_is_refused_and_one_like_it_is_named(ds):
    with pytest.raises(PointsError, match="point 'P1' is not in this dataset of 3 points: give a point_id such as p1"):
        by_valid_time(ds, "P1")
    with pytest.raises(PointsError, match=r"'kboi' .* such as p0, p1, p2"):
        by_valid_time(ds, ["p0", "kboi"])
    with pytest.raises(PointsError, match="'p0' is not in this dataset of 1 points"):
        by_valid_time(ds.isel(point=1), "p0")
    with pytest.raises(PointsError, match="without the coordinate point_id"):
        by_valid_time(ds.drop_vars("point_id"), "p0")


# --- best_estimate ---


def test_the_best_estimate_is_the_shortest_lead_time_of_a_complete_file(ds):
    result = best_estimate(ds)
    assert dict(result.sizes) == {"valid_time": len(valid_times(ds)), "point": 3}
    whole = loaded(ds)
    check_choice(whole, result.compute(), lambda valid, first: best_of(whole, valid, first))


@settings(max_examples=40, deadline=None)
@given(CYCLES, LEADS, st.integers(1, 3), st.integers(0, 99), CHUNKS)
def test_whatever_the_gaps_the_best_estimate_is_the_best(cycles, leads, n_days, seed, chunks):
    ds = random_forecasts(cycles, leads, n_days, seed, chunks)
    whole = loaded(ds)
    result = best_estimate(ds)
    assert (result.temperature_2m.chunks is None) == (chunks is None)
    assert result.valid_time.values.tolist() == [int(v.astype("int64")) for v in valid_times(ds)]
    check_choice(whole, result.compute(), lambda valid, first: best_of(whole, valid, first))


def test_a_variable_with_a_window_takes_the_shortest_lead_time_that_has_it_and_alone_tells_which():
    ds = forecasts()
    ds["status"] = xr.full_like(ds.status, COMPLETE)
    result, alone = best_estimate(ds), best_estimate(ds[["precipitation_1h"]])
    k = result.get_index("valid_time").get_loc("2024-07-02T12:00")
    assert result.lead_time.values[k] == 0 * HOUR
    assert alone.lead_time.values[k] == 6 * HOUR
    assert alone.init_time.values[k] == np.datetime64("2024-07-02T06", "ns")
    np.testing.assert_array_equal(alone.precipitation_1h, result.precipitation_1h)


def test_every_outcome_is_either_whole_perhaps_a_part_or_nothing():
    ds = forecasts(cycles=[0], leads=[0, 24], n_days=2, n_points=1)
    second = ds.init_time.values[1]
    chosen = {}
    for outcome in OUTCOMES.values():
        ds["status"] = (ds.status.dims, np.array([[1, 8], [outcome.number, 8]], np.uint8))
        chosen[outcome.name] = best_estimate(ds).init_time.sel(valid_time=second).values == second
    assert [name for name, taken in chosen.items() if not taken] == [
        "not-ingested",
        "not-in-this-era",
        "not-published",
        "access-denied",
        "internal-error",
        "poisoned",
    ]


def test_a_run_that_was_never_in_the_store_has_no_best_estimate():
    ds = forecasts()
    wider = ds.reindex(init_time=pd.date_range("2024-07-01", "2024-07-05", freq="6h"))
    assert np.isnan(wider.status).any()
    found = best_estimate(wider).temperature_2m
    expected = best_estimate(ds).temperature_2m
    xr.testing.assert_equal(found.sel(valid_time=expected.valid_time).compute(), expected.compute())
    assert np.isnat(found.init_time.values[-1])


def test_without_a_status_the_best_estimate_is_refused():
    with pytest.raises(UsageError, match=r"status\(init_time, lead_time\) is needed"):
        best_estimate(forecasts().drop_vars("status"))


# --- latest ---


def test_the_latest_is_the_newest_forecast_that_had_been_published(ds):
    result = latest(ds, "2024-07-02T07:30")
    assert result.temperature_2m.dims == ("valid_time", "point")
    assert result.sizes["valid_time"] > 5
    check_latest(loaded(ds), result.compute(), np.datetime64("2024-07-02T07:30"))


@settings(max_examples=40, deadline=None)
@given(CYCLES, LEADS, st.integers(1, 4), st.integers(0, 99), CHUNKS, st.integers(-5 * 60, 120 * 60))
def test_whatever_the_moment_nothing_is_used_that_was_published_after_it(cycles, leads, n_days, seed, chunks, minutes):
    ds = random_forecasts(cycles, leads, n_days, seed, chunks)
    moment = np.datetime64("2024-07-01T00:00") + np.timedelta64(minutes, "m")
    result = latest(ds, moment).compute()
    check_latest(loaded(ds), result, moment)
    # Values are distinct, so each says which file it is from.
    published = ds.available_at.values[..., None] <= moment
    for name in SELECTORS:
        may_be_known = ds[name].values[np.broadcast_to(published, ds[name].shape)]
        used = result[name].values[np.isfinite(result[name].values)]
        assert np.isin(used, may_be_known).all()
    taken = result.available_at.values
    assert (taken[~np.isnat(result.init_time.values)] <= moment).all()


def test_the_oldest_run_that_reaches_the_hour_and_one_published_at_the_very_moment_count():
    ds = forecasts(cycles=[0, 6], leads=[0, 6], n_days=1)
    ds["available_at"] = (ds.status.dims, np.stack([ds.init_time.values] * 2, axis=1))
    only_first = ds.isel(init_time=[0])
    found = latest(only_first, "2024-07-01T06:59").valid_time.values
    np.testing.assert_array_equal(found, np.array(["2024-07-01T06"], "datetime64[ns]"))
    assert latest(only_first, "2024-07-01T07:00").sizes["valid_time"] == 0
    at_once = latest(ds, "2024-07-01T06:00")
    assert at_once.init_time.values[0] == np.datetime64("2024-07-01T06", "ns")
    assert latest(ds, "2024-07-01T05:59:59").init_time.values[0] == np.datetime64("2024-07-01T00", "ns")


def test_a_file_of_unknown_publication_is_never_used():
    ds = forecasts()
    ds["available_at"] = xr.full_like(ds.available_at, NAT)
    result = latest(ds, "2024-07-02T07:30")
    assert dict(result.sizes) == {"valid_time": 0, "point": 3}
    assert result.temperature_2m.values.shape == (0, 3)


def test_a_moment_before_the_first_run_or_long_after_the_last_has_no_forecasts(ds):
    for moment in ("2020-01-01", "2030-01-01"):
        assert latest(ds, moment).temperature_2m.shape == (0, 3)


@pytest.mark.parametrize(
    "moment",
    [
        "2024-07-02 07:30",
        "2024-07-02T07:30Z",
        "2024-07-02T01:30-06:00",
        datetime(2024, 7, 2, 7, 30),
        datetime(2024, 7, 2, 7, 30, tzinfo=UTC),
        datetime(2024, 7, 2, 1, 30, tzinfo=timezone(timedelta(hours=-6))),
        np.datetime64("2024-07-02T07:30"),
        np.datetime64("2024-07-02T07:30", "ns"),
        pd.Timestamp("2024-07-02T07:30"),
        pd.Timestamp("2024-07-02T01:30", tz="America/Denver"),
    ],
    ids=repr,
)
def test_a_moment_may_be_written_in_many_ways(moment):
    ds = forecasts()
    xr.testing.assert_identical(latest(ds, moment).compute(), latest(ds, np.datetime64("2024-07-02T07:30")).compute())


@pytest.mark.parametrize("moment", ["yesterday-ish", 20240702, 1.7e18, None, pd.NaT, np.datetime64("NaT"), ["2024"]])
def test_what_is_not_a_moment_is_refused(moment):
    with pytest.raises(ConfigError, match=r"is not a time .* give one in UTC"):
        latest(forecasts(), moment)


@pytest.mark.parametrize("moment", ["02.07.2024", "02.07.2024 07:30", "2/7/2024", "02-07-2024 07:30", " 7/2/24"])
def test_a_date_whose_first_number_may_be_the_month_is_refused(moment):
    with pytest.raises(ConfigError, match=r"day and month could be swapped\): give one in UTC, such as '2024-07-01T"):
        latest(forecasts(), moment)


def test_a_store_that_does_not_know_when_files_were_published_is_refused():
    with pytest.raises(UsageError, match=r"available_at\(init_time, lead_time\) is needed"):
        latest(forecasts().drop_vars("available_at"), "2024-07-02")


# --- all of them ---

ASK = {
    "fixed_lead": lambda ds: fixed_lead(ds, 6),
    "by_valid_time": by_valid_time,
    "latest": lambda ds: latest(ds, "2024-07-02T07:30"),
    "best_estimate": best_estimate,
}
every_question = pytest.mark.parametrize("ask", ASK.values(), ids=ASK)


@every_question
def test_attributes_and_what_is_of_the_points_only_are_kept(ds, ask):
    ds["height"] = ("point", [80.0, 100.0, 120.0])
    result = ask(ds)
    assert result.attrs == ds.attrs
    assert set(result.data_vars) == set(ds.data_vars)
    for name in (*SELECTORS, "status", "available_at", "init_time", "lead_time", "valid_time", "latitude"):
        assert result[name].attrs == ds[name].attrs
    for name in ("height", "latitude", "point_id", "crs"):
        xr.testing.assert_equal(result[name].variable, ds[name].variable)
    assert ("point_id" in result.xindexes) == ("point_id" in ds.xindexes)


@every_question
def test_a_selection_made_before_is_the_same_as_one_made_after(ds, ask):
    result = ask(ds).compute()
    xr.testing.assert_identical(ask(ds.isel(point=1)).compute(), result.isel(point=1))
    xr.testing.assert_identical(ask(ds.isel(point=[2, 0])).compute(), result.isel(point=[2, 0]))
    xr.testing.assert_identical(ask(ds[["temperature_2m"]]).compute(), result[["temperature_2m"]])
    xr.testing.assert_identical(ask(ds.transpose("point", ...)).compute(), result)


@every_question
def test_the_order_of_runs_and_lead_times_does_not_matter(ds, ask):
    turned = ask(ds.isel(init_time=slice(None, None, -1), lead_time=slice(None, None, -1)))
    xr.testing.assert_identical(
        turned.sortby([dim for dim in turned.dims if dim != "point"]).compute(), ask(ds).compute()
    )


@every_question
@pytest.mark.parametrize("single", [{"init_time": 4}, {"lead_time": 4}, {"init_time": 4, "lead_time": 4}], ids=str)
def test_a_single_time_is_an_axis_of_length_one(ds, ask, single):
    xr.testing.assert_identical(
        ask(ds.isel(single)).compute(), ask(ds.isel({dim: [k] for dim, k in single.items()})).compute()
    )


@pytest.mark.parametrize("ask", [by_valid_time, best_estimate, ASK["latest"]])
def test_of_a_run_that_occurs_twice_the_first_counts(ask):
    ds = forecasts()
    again = ds.isel(init_time=slice(2, 8)).copy(deep=True)
    for name in SELECTORS:
        again[name] += 1
    twice = xr.concat([ds, again], "init_time", data_vars="minimal", coords="minimal", compat="override", join="exact")
    assert twice.sizes["init_time"] == 18
    xr.testing.assert_identical(ask(twice).compute(), ask(ds).compute())


@every_question
def test_some_runs_and_lead_times_are_a_store_too(ds, ask):
    part = ds.isel(init_time=[1, 2, 3, 5, 8], lead_time=[0, 2, 4])
    whole = loaded(part)
    xr.testing.assert_identical(ask(part).compute(), ask(whole).compute())


@every_question
def test_dask_stays_dask_and_all_else_stays_lazy(ds, ask):
    result = ask(ds)
    assert (result.temperature_2m.chunks is None) == (ds.temperature_2m.chunks is None)
    if ds.temperature_2m.chunks is None:
        assert "..." in repr(result.temperature_2m.variable) or not result.temperature_2m.variable._in_memory


@every_question
def test_chunks_of_a_result_are_of_one_length_however_uneven_those_of_the_source_are(ask):
    ds = forecasts(leads=range(7), n_days=9).chunk(init_time=(1, 7, 7, 7, 7, 7), lead_time=(3, 4), point=2)
    for chunks in ask(ds).temperature_2m.chunks[:-1]:
        assert len(set(chunks[:-1])) <= 1
        assert chunks[-1] <= chunks[0]


@every_question
def test_any_selection_of_a_result_is_that_of_its_values(ds, ask):
    whole = ask(ds).temperature_2m.values
    lazy = ask(ds).temperature_2m
    np.testing.assert_array_equal(lazy[0], whole[0])
    np.testing.assert_array_equal(lazy[-1, ..., 1], whole[-1, ..., 1])
    np.testing.assert_array_equal(lazy[::-2], whole[::-2])
    np.testing.assert_array_equal(lazy[[3, 0, 3], ..., [2, 1]], whole[[3, 0, 3]][..., [2, 1]])
    np.testing.assert_array_equal(lazy[0:0], whole[0:0])
    at = xr.DataArray([0, 2, 1], dims="k")
    np.testing.assert_array_equal(
        lazy.isel(valid_time=at, point=at).transpose("k", ...), np.stack([whole[k, ..., k] for k in (0, 2, 1)])
    )
    np.testing.assert_array_equal(lazy.transpose("point", ...), np.moveaxis(whole, -1, 0))


@every_question
def test_a_result_can_be_sent_written_and_changed_without_a_change_to_its_source(ds, ask, tmp_path):
    before = loaded(ds)
    result = ask(ds)
    xr.testing.assert_identical(pickle.loads(pickle.dumps(result)).compute(), ask(before).compute())
    result.drop_vars("crs").to_zarr(tmp_path / "r.zarr", zarr_format=3, consolidated=False)
    back = xr.open_zarr(tmp_path / "r.zarr", consolidated=False, decode_timedelta=True)
    np.testing.assert_array_equal(back.temperature_2m, result.temperature_2m)
    result = result.load()
    result.temperature_2m[:] = 0
    xr.testing.assert_identical(loaded(ds), before)


@every_question
def test_a_result_can_be_plotted(ds, ask):
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    series = ask(ds).temperature_2m
    series.isel(point=0).plot.line(x="valid_time")
    plt.close("all")
    if series.ndim == 2:
        series.isel(point=0).plot()
        series.plot()
    else:
        series.isel(point=0, lead_time=1).plot()
        series.isel(point=0, valid_time=10).plot()
    plt.close("all")


def test_every_forecast_for_a_time_is_a_colour_mesh_over_hours(ds):
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    one = by_valid_time(ds, ds.point_id.values[0]).temperature_2m
    mesh = one.assign_coords(lead_time=one.lead_time / np.timedelta64(1, "h")).plot()
    plt.gcf().canvas.draw()
    assert mesh.get_array().shape == one.shape
    lowest, highest = mesh.axes.get_xlim()
    hours = one.lead_time.values / np.timedelta64(1, "h")
    assert lowest < hours.min() < hours.max() < highest
    plt.close("all")


@every_question
def test_a_dataset_without_runs_gives_an_answer_without_times(ds, ask):
    assert ask(ds.isel(init_time=slice(0, 0))).temperature_2m.compute().shape[0] == 0


@every_question
def test_what_is_no_store_is_refused(ds, ask):
    for wrong in (ds.drop_vars("init_time"), fixed_lead(ds, 6), ds.temperature_2m, xr.Dataset({"t": ("x", [1.0])})):
        with pytest.raises(UsageError, match=r"times init_time and lead_time is needed.*open_dataset"):
            ask(wrong)
    hours = ds.assign_coords(lead_time=np.arange(ds.sizes["lead_time"]))
    with pytest.raises(UsageError, match="times init_time and lead_time is needed"):
        ask(hours)


def test_the_accessor_asks_the_same(ds):
    xr.testing.assert_identical(ds.hrrr.fixed_lead(6).compute(), fixed_lead(ds, 6).compute())
    xr.testing.assert_identical(ds.hrrr.by_valid_time("p1").compute(), by_valid_time(ds, "p1").compute())
    moment = "2024-07-02T07:30"
    xr.testing.assert_identical(ds.hrrr.latest(moment).compute(), latest(ds, moment).compute())
    xr.testing.assert_identical(ds.hrrr.best_estimate().compute(), best_estimate(ds).compute())


def test_variables_that_a_user_made_are_picked_too_whatever_their_type():
    ds = forecasts()
    ds["warm"] = ds.temperature_2m > 300
    ds["count"] = ds.temperature_2m.fillna(0).astype("int32")
    ds["bias"] = ("lead_time", np.arange(7.0))
    ds = ds.assign_coords(cycle=ds.init_time.dt.hour)
    result = by_valid_time(ds)
    there = np.isin(result.init_time.values, ds.init_time.values)
    assert result["count"].dtype == np.float64
    np.testing.assert_array_equal(np.isnan(result["count"].values[..., 0]), ~there)
    np.testing.assert_array_equal(result.warm.values[there], by_valid_time(ds).temperature_2m.values[there] > 300)
    np.testing.assert_array_equal(result.bias, np.where(there, np.arange(7.0), np.nan))
    np.testing.assert_array_equal(result.cycle, np.where(there, result.init_time.dt.hour, np.nan))


def test_a_large_box_is_read_in_halves_with_the_same_values(monkeypatch):
    ds = forecasts(n_days=6)
    expected = {name: ask(ds).compute() for name, ask in ASK.items()}
    monkeypatch.setattr(gather, "MAX_BOX_BYTES", 200)
    for name, ask in ASK.items():
        xr.testing.assert_identical(ask(ds).compute(), expected[name])


# --- what is read ---


@pytest.fixture(scope="module")
def real_layout(tmp_path_factory) -> tuple[Path, xr.Dataset]:
    """Four weeks of hourly runs in shards of a week and 20 points, in chunks of 10."""
    root = tmp_path_factory.mktemp("real") / "s.zarr"
    ds = forecasts(range(24), range(19), n_days=28, n_points=40)
    attrs = {"coordinates": "status available_at point_id latitude valid_time"}
    encoding = {name: {"chunks": (168, 19)} for name in ("status", "available_at", "valid_time")}
    coords = ds.drop_vars([*SELECTORS, "point_id"])
    coords.to_zarr(root, zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(root)
    for name in SELECTORS:
        array = group.create_array(
            name,
            shape=ds[name].shape,
            shards=(168, 19, 20),
            chunks=(168, 19, 10),
            dtype="float32",
            fill_value=np.nan,
            dimension_names=ds[name].dims,
            attributes={**ds[name].attrs, **attrs},
        )
        array[...] = ds[name].values
    group.create_array("point_id", shape=40, chunks=40, dtype=str, dimension_names=["point"])[...] = ds.point_id.values
    return root, ds


@pytest.fixture(params=[None, {}], ids=["lazy", "dask"])
def counted(request, real_layout) -> tuple[xr.Dataset, CountingStore, xr.Dataset]:
    store = CountingStore(LocalStore(real_layout[0], read_only=True))
    opened = xr.open_zarr(store, chunks=request.param, consolidated=False, decode_timedelta=True)
    store.take()
    return opened, store, real_layout[1]


def test_a_fixed_lead_time_reads_nothing_at_first_and_then_one_chunk_of_the_point_in_each_shard(counted):
    ds, store, expected = counted
    series = fixed_lead(ds, 6).temperature_2m
    assert store.take() == []
    found = series.isel(point=25).values
    np.testing.assert_array_equal(found, expected.temperature_2m.values[:, 6, 25])
    keys = store.take()
    assert set(keys) == {f"temperature_2m/c/{week}/0/1" for week in range(4)}
    assert len(keys) == 8, "of each shard its index and one chunk"
    part = series.isel(point=3).sel(valid_time=slice("2024-07-09", "2024-07-10"))
    assert part.shape == (48,)
    _ = part.values
    assert set(store.take()) == {"temperature_2m/c/1/0/0"}


def test_every_forecast_for_some_times_reads_the_shards_of_their_runs_only(counted):
    ds, store, expected = counted
    result = by_valid_time(ds.drop_vars("point_id")).temperature_2m
    assert store.take() == []
    # Dask reads for a whole chunk of the result, which is of a week's times and all lead times.
    older = {"temperature_2m/c/0/0/0"} if result.chunks else set()
    there = result.sel(valid_time="2024-07-10").isel(point=3).values
    assert set(store.take()) == {"temperature_2m/c/1/0/0"} | older
    first = np.flatnonzero(expected.init_time.values == np.datetime64("2024-07-10"))[0]
    np.testing.assert_array_equal(there[5, 3], expected.temperature_2m.values[first + 2, 3, 3])
    _ = result.sel(valid_time="2024-07-08T05:00").isel(point=3).values
    assert set(store.take()) == {"temperature_2m/c/0/0/0", "temperature_2m/c/1/0/0"}
    _ = result.sel(valid_time="2024-07-08T05:00", lead_time="2h").isel(point=3).values
    assert set(store.take()) == {"temperature_2m/c/1/0/0"} | older


def test_a_point_by_its_name_reads_the_names_alone(counted):
    ds, store, _ = counted
    result = by_valid_time(ds, "p33")
    assert set(store.take()) <= {"point_id/c/0"}
    _ = result.temperature_2m.isel(valid_time=[0, -1]).values
    assert set(store.take()) == {"temperature_2m/c/0/0/1", "temperature_2m/c/3/0/1"}


def test_the_latest_reads_when_the_runs_of_two_days_came_and_then_their_shards(counted):
    ds, store, expected = counted
    result = latest(ds, "2024-07-12T07:30")
    assert set(store.take()) == {"available_at/c/1/0"}
    check_latest(expected.isel(init_time=slice(168, 336)), result.compute(), np.datetime64("2024-07-12T07:30"))
    keys = set(store.take())
    assert {key for key in keys if key.split("/")[0] in SELECTORS} == {
        f"{name}/c/1/0/{block}" for name in SELECTORS for block in (0, 1)
    }
    assert "available_at/c/0/0" not in keys
    _ = latest(ds, "2024-07-08T07:30")
    assert set(store.take()) == {"available_at/c/0/0", "available_at/c/1/0"}


def test_the_best_estimate_reads_the_status_and_then_no_more_than_is_looked_at(counted):
    ds, store, expected = counted
    result = best_estimate(ds)
    assert set(store.take()) == {f"status/c/{week}/0" for week in range(4)}
    week = result.temperature_2m.isel(point=12).sel(valid_time=slice("2024-07-10", "2024-07-11")).values
    assert set(store.take()) == {"temperature_2m/c/1/0/0"}
    for k in (0, 13, 47):
        valid = np.datetime64("2024-07-10", "ns") + k * HOUR
        found = best_of(expected, valid, 0)
        assert found is not None
        assert week[k] == expected.temperature_2m.values[found][12]


def test_the_best_estimate_of_some_runs_reads_the_status_of_them_only(counted):
    ds, store, _ = counted
    _ = best_estimate(ds.sel(init_time="2024-07-10"))
    assert set(store.take()) == {"status/c/1/0"}


def test_what_was_looked_at_once_is_not_read_again(real_layout):
    store = CountingStore(LocalStore(real_layout[0], read_only=True))
    ds = xr.open_zarr(store, chunks=None, consolidated=False, decode_timedelta=True)
    series = fixed_lead(ds, 6).temperature_2m.isel(point=3)
    _ = series.values
    assert store.take()
    _ = series.values
    assert [key for key in store.take() if key.startswith("temperature_2m")] == []
