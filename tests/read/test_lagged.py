"""The lagged ensemble: against loops over every run and lead time, and with the requests counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from support.forecasts import FIRST_LEAD, HOLLOW, SELECTORS, CountingStore, candidates, forecasts, valid_times
from zarr.storage import LocalStore

from hrrr_dask.errors import ConfigError, UsageError
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED
from hrrr_dask.read import accessor  # noqa: F401  gives datasets their accessor
from hrrr_dask.read.ensembles import lagged
from hrrr_dask.read.forecasts import best_estimate, fixed_lead

CYCLES = st.sets(st.integers(0, 23), min_size=1, max_size=6)
LEADS = st.sets(st.integers(0, 40).map(lambda quarter: quarter / 4), min_size=1, max_size=8)
CHUNKS = st.sampled_from([None, {"init_time": 3, "lead_time": 2, "point": 2}, {}])


def newest_files(ds: xr.Dataset, valid: Any, first_lead: int) -> list[tuple[int, int]]:
    return [(i, j) for i, j in candidates(ds, valid, first_lead) if ds.status.values[i, j] not in HOLLOW]


def check_members(ds: xr.Dataset, result: xr.Dataset, n: int) -> None:
    assert result.valid_time.values.tolist() == [int(valid.astype("int64")) for valid in valid_times(ds)]
    assert result.member.values.tolist() == list(range(n))
    for k, valid in enumerate(result.valid_time.values):
        for name, first_lead in FIRST_LEAD.items():
            files = newest_files(ds, valid, first_lead)[:n]
            expected = [ds[name].values[file] for file in files]
            expected += [np.full(ds.sizes["point"], np.nan)] * (n - len(files))
            np.testing.assert_array_equal(result[name].values[k], expected)
        files = newest_files(ds, valid, 0)[:n]
        for m in range(n):
            if m < len(files):
                assert result.init_time.values[k, m] == ds.init_time.values[files[m][0]]
                assert result.lead_time.values[k, m] == ds.lead_time.values[files[m][1]]
                assert result.status.values[k, m] == ds.status.values[files[m]]
                np.testing.assert_array_equal(result.available_at.values[k, m], ds.available_at.values[files[m]])
            else:
                assert np.isnat(result.init_time.values[k, m])
                assert np.isnat(result.lead_time.values[k, m])
                assert result.status.values[k, m] == NOT_INGESTED


@settings(max_examples=40, deadline=None)
@given(CYCLES, LEADS, st.integers(1, 3), st.integers(0, 99), CHUNKS, st.integers(1, 7))
def test_members_are_the_newest_runs_with_values(cycles, leads, n_days, seed, chunks, n):
    ds = forecasts(cycles, leads, n_days, seed=seed)
    result = lagged(ds if chunks is None else ds.chunk(chunks), n)
    assert (result.temperature_2m.chunks is None) == (chunks is None)
    check_members(ds, result.compute(), n)


def test_dims_and_coordinates_of_the_ensemble():
    ds = forecasts()
    result = lagged(ds, 2)
    assert result.temperature_2m.dims == ("valid_time", "member", "point")
    assert result.init_time.dims == result.lead_time.dims == result.status.dims == ("valid_time", "member")
    assert result.member.attrs["standard_name"] == "realization"
    assert result.attrs == ds.attrs
    assert result.temperature_2m.attrs == ds.temperature_2m.attrs
    assert lagged(ds).sizes["member"] == 6
    xr.testing.assert_identical(result, ds.hrrr.lagged(2))


def test_where_all_files_are_complete_member_0_is_the_best_estimate():
    ds = forecasts()
    ds["status"] = xr.full_like(ds.status, COMPLETE)
    first = lagged(ds, 3).isel(member=0, drop=True)
    xr.testing.assert_identical(first.compute(), best_estimate(ds).compute())


def test_an_ensemble_of_a_single_run_of_runs_twice_and_of_none():
    ds = forecasts()
    one = lagged(ds.isel(init_time=4), 2).compute()
    check_members(ds.isel(init_time=[4]), one, 2)
    options: Any = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}
    twice = xr.concat([ds, ds.isel(init_time=slice(2, 8))], "init_time", **options)
    xr.testing.assert_identical(lagged(twice, 3).compute(), lagged(ds, 3).compute())
    assert lagged(ds.isel(init_time=slice(0, 0)), 2).temperature_2m.compute().shape == (0, 2, 3)


@pytest.mark.parametrize("n", [0, -1, 1.5, "3", None, True])
def test_what_is_not_a_number_of_members_is_refused(n):
    with pytest.raises(ConfigError, match=r"is not a number of members: give a whole number of at least 1"):
        lagged(forecasts(), n)


def test_what_is_no_store_is_refused():
    with pytest.raises(UsageError, match=r"status\(init_time, lead_time\) is needed"):
        lagged(forecasts().drop_vars("status"))
    with pytest.raises(UsageError, match="times init_time and lead_time is needed"):
        lagged(fixed_lead(forecasts(), 6))


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_the_status_is_read_and_then_the_chunks_of_the_point_and_the_runs(chunks, tmp_path):
    made = forecasts(range(24), range(7), n_days=4)
    encoding: dict[str, Any] = {name: {"chunks": (24, 7, 1)} for name in SELECTORS}
    encoding |= {name: {"chunks": (24, 7)} for name in ("status", "available_at", "valid_time")}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    ds = xr.open_zarr(store, chunks=chunks, consolidated=False, decode_timedelta=True)
    store.take()
    ensemble = lagged(ds, 4)
    assert sorted(store.take()) == [f"status/c/{day}/0" for day in range(4)]
    found = ensemble.temperature_2m.isel(point=1).sel(valid_time=slice("2024-07-03T12:00", "2024-07-03T18:00")).values
    # Dask reads for a whole chunk of the result, which is of a day's valid times.
    older = ["temperature_2m/c/1/0/1"] if chunks == {} else []
    assert sorted(store.take()) == [*older, "temperature_2m/c/2/0/1"]
    for k, hour in enumerate(range(12, 19)):
        files = newest_files(made, np.datetime64(f"2024-07-03T{hour}", "ns"), 0)[:4]
        np.testing.assert_array_equal(found[k][: len(files)], [made.temperature_2m.values[file][1] for file in files])
