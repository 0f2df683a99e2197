"""The accessor of a variable, the list of methods at a prompt, and several lead times at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import needs
from support.forecasts import HOUR, SELECTORS, CountingStore, forecasts, value
from zarr.storage import LocalStore

from hrrr_dask.errors import ConfigError, PointsError, UsageError
from hrrr_dask.read.accessor import HrrrAccessor, HrrrArrayAccessor
from hrrr_dask.read.forecasts import by_valid_time, fixed_lead

ASK: dict[str, Any] = {
    "fixed_lead": lambda hrrr: hrrr.fixed_lead(6),
    "fixed_leads": lambda hrrr: hrrr.fixed_lead([0, "6h"]),
    "by_valid_time": lambda hrrr: hrrr.by_valid_time("p1"),
    "latest": lambda hrrr: hrrr.latest("2024-07-02T07:30"),
    "best_estimate": lambda hrrr: hrrr.best_estimate(),
    "lagged": lambda hrrr: hrrr.lagged(3),
    "nearest": lambda hrrr: hrrr.nearest(41, -100, 2),
}


def stored(tmp_path: Any, chunks: Any) -> tuple[xr.Dataset, CountingStore, xr.Dataset]:
    made = forecasts().assign_coords(longitude=("point", [-100.0, -101, -102]))
    encoding: dict[str, Any] = {name: {"chunks": (4, 7, 1)} for name in SELECTORS}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    opened = xr.open_zarr(store, chunks=chunks, consolidated=False, decode_timedelta=True)
    store.take()
    return opened, store, made


# --- arrays ---


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_a_variable_gives_what_its_dataset_gives(ask, chunks, tmp_path):
    ds, store, _ = stored(tmp_path, chunks)
    for name in ("temperature_2m", "precipitation_1h"):
        found = ask(ds[name].hrrr)
        assert not [key for key in store.take() if key.startswith(name)]
        assert (found.chunks is None) == (ds[name].chunks is None)
        xr.testing.assert_identical(found.compute(), ask(ds[[name]].hrrr)[name].compute())
        store.take()


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_an_array_of_any_name_keeps_it(ask):
    ds = forecasts().assign_coords(longitude=("point", [-100.0, -101, -102]))
    celsius = (ds.temperature_2m - 273.15).rename(None)
    found = ask(celsius.hrrr)
    assert found.name is None
    np.testing.assert_allclose(found, ask(ds.hrrr).temperature_2m - 273.15, rtol=1e-6)


def test_the_status_of_a_fixed_lead_time_may_be_asked_alone():
    ds = forecasts()
    found = ds.status.hrrr.fixed_lead(6)
    assert found.name == "status"
    np.testing.assert_array_equal(found, ds.status.values[:, 4])


def test_a_variable_is_written_as_netcdf_under_its_name(tmp_path):
    needs.extra("netCDF4")
    ds = forecasts()
    ds.temperature_2m.hrrr.fixed_lead(6).hrrr.to_netcdf(tmp_path / "x.nc")
    back = xr.load_dataset(tmp_path / "x.nc", decode_timedelta=True)
    assert list(back.data_vars) == ["temperature_2m"]
    np.testing.assert_array_equal(back.temperature_2m, fixed_lead(ds, 6).temperature_2m)


def test_what_an_array_cannot_answer_is_refused():
    ds = forecasts()
    with pytest.raises(UsageError, match="times init_time and lead_time is needed"):
        ds.latitude.hrrr.fixed_lead(6)
    with pytest.raises(PointsError, match="'kboi' is not in this dataset"):
        ds.temperature_2m.hrrr.by_valid_time("kboi")
    with pytest.raises(AttributeError, match="no attribute 'wind'"):
        _ = ds.temperature_2m.hrrr.wind


# --- at a prompt ---


@pytest.mark.parametrize(
    ("kind", "hrrr"),
    [(HrrrAccessor, forecasts().hrrr), (HrrrArrayAccessor, forecasts().temperature_2m.hrrr)],
    ids=["dataset", "array"],
)
def test_the_accessor_lists_its_methods_one_a_line_in_their_order(kind, hrrr):
    methods = [name for name in vars(kind) if not name.startswith("_")]
    heading, *lines = repr(hrrr).splitlines()
    assert heading == f"Methods of {kind._name}; more by help({kind._name}.fixed_lead):"
    assert [line.strip().partition("(")[0] for line in lines] == methods
    assert lines[0].split("  ") == ["", "fixed_lead(lead=24)", *lines[0].split("  ")[2:]]
    for name, line in zip(methods, lines, strict=True):
        documentation = getattr(kind, name).__doc__
        assert line.endswith("  " + documentation.splitlines()[0])
        assert len(line) < 120
        assert documentation.splitlines()[0].endswith(".")


def test_help_has_the_parameters_but_not_the_dataset():
    for name in (name for name in vars(HrrrAccessor) if not name.startswith("_")):
        documentation = getattr(HrrrAccessor, name).__doc__
        assert "\nds : " not in documentation
        assert ("\nParameters\n----------\n" in documentation) == (name != "best_estimate"), name
        assert "\nRaises\n------\n" in documentation
    assert "\nlead : float, str, timedelta" in HrrrAccessor.fixed_lead.__doc__


@pytest.mark.parametrize("truth", ["analysis", "table"])
def test_a_variable_has_the_errors_of_its_dataset(truth):
    ds = forecasts()
    table = pd.DataFrame({"valid_time": ds.init_time.values, "point_id": "p1", "temperature_2m": 280.0})
    given = None if truth == "analysis" else table
    found = ds.temperature_2m.hrrr.errors(given, members=0)
    assert found.n.sum() > 0
    xr.testing.assert_identical(found, ds[["temperature_2m"]].hrrr.errors(given, members=0))


# --- several lead times ---


@pytest.mark.parametrize(
    "leads",
    [
        [0, 6, 18],
        (0.0, "6h", timedelta(hours=18)),
        np.array([0, 6, 18]),
        np.array([0, 6, 18]).astype("timedelta64[h]"),
        pd.to_timedelta([0, 6, 18], "h"),
        xr.DataArray(np.array([0, 6, 18]).astype("timedelta64[h]").astype("timedelta64[ns]"), dims="lead_time"),
        [np.timedelta64(0, "h"), pd.Timedelta("6h"), 18],
        range(0, 19, 6),
    ],
    ids=lambda leads: type(leads).__name__,
)
def test_several_lead_times_are_columns_by_valid_time(leads):
    ds = forecasts(leads=[0, 1, 6, 12, 18])
    if isinstance(leads, range):
        ds = ds.drop_sel(lead_time=[12 * HOUR])
        leads = [lead for lead in leads if lead != 12]
    found = fixed_lead(ds, leads).compute()
    assert found.temperature_2m.dims == ("valid_time", "lead_time", "point")
    assert (found.lead_time.values / HOUR).tolist() == [0, 6, 18]
    assert found.valid_time.to_index().is_monotonic_increasing
    assert found.valid_time.to_index().is_unique
    for k, valid in enumerate(found.valid_time.values):
        for j, lead in enumerate(found.lead_time.values):
            assert found.init_time.values[k, j] == valid - lead
            for name in SELECTORS:
                np.testing.assert_array_equal(found[name].values[k, j], value(ds, name, valid - lead, lead))
    for hours in (0, 6, 18):
        series = fixed_lead(ds, hours).temperature_2m
        column = found.temperature_2m.sel(lead_time=hours * HOUR, valid_time=series.valid_time)
        np.testing.assert_array_equal(column, series)
    xr.testing.assert_identical(found, by_valid_time(ds.sel(lead_time=found.lead_time)).compute())


def test_lead_times_are_in_the_given_order_and_one_in_a_list_is_a_dimension():
    ds = forecasts()
    assert (fixed_lead(ds, [6, 0]).lead_time.values / HOUR).tolist() == [6, 0]
    one = fixed_lead(ds, ["6h"])
    assert one.temperature_2m.dims == ("valid_time", "lead_time", "point")
    np.testing.assert_array_equal(one.temperature_2m.values[:, 0], fixed_lead(ds, 6).temperature_2m)
    single = fixed_lead(ds.isel(lead_time=4), [6])
    assert single.temperature_2m.dims == ("valid_time", "lead_time", "point")
    np.testing.assert_array_equal(single.temperature_2m, one.temperature_2m)


@pytest.mark.parametrize(
    ("leads", "said"),
    [
        ([], "the list is empty"),
        ([0, 24], "lead time 24 h is not in"),
        ([6, "soon"], "is not a lead time"),
        ([[0, 6]], "is not a lead time"),
        (np.array("soon"), "is not a lead time"),
    ],
    ids=str,
)
def test_what_are_not_lead_times_is_refused(leads, said):
    with pytest.raises(ConfigError, match=said):
        fixed_lead(forecasts(), leads)


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_several_lead_times_read_nothing_at_first_and_then_each_chunk_of_the_point_once(chunks, tmp_path):
    ds, store, made = stored(tmp_path, chunks)
    found = fixed_lead(ds, [0, 6]).temperature_2m.isel(point=1)
    assert store.take() == []
    values = found.values
    assert sorted(set(store.take())) == [f"temperature_2m/c/{day}/0/1" for day in range(3)]
    np.testing.assert_array_equal(values[0], [made.temperature_2m.values[0, 0, 1], np.nan])
