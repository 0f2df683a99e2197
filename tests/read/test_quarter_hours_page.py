"""The examples of docs/quarter_hours.md, each run as written, against loops over every run and lead time."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support.forecasts import FIRST_LEAD, HOUR, MINUTE, best_of, forecasts, newest_of, valid_times, value
from support.paths import ROOT

import hrrr_dask
from hrrr_dask.outcomes import NOT_INGESTED
from hrrr_dask.read.accessor import best_estimate, by_valid_time, fixed_lead

PAGE = (ROOT / "docs" / "quarter_hours.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
QUARTERS = {
    "temperature_2m": "TMP:2 m above ground:instant",
    "u_component_wind_80m": "UGRD:80 m above ground:instant",
    "v_component_wind_80m": "VGRD:80 m above ground:instant",
    "solar_15min": "DSWRF:surface:15 min ave",
}
HOURLY = {
    "surface_roughness": "SFCR:surface:instant",
    "temperature_2m": "TMP:2 m above ground:instant",
    "u_component_wind_80m": "UGRD:80 m above ground:instant",
    "v_component_wind_80m": "VGRD:80 m above ground:instant",
    "relative_humidity_2m": "RH:2 m above ground:instant",
}
PRESSURE = {"TMP_500_mb": "TMP:500 mb:instant"}
IDS = np.array(["kboi", "roscoe", "seoul"], dtype=object)
OF_FILES = ("status", "quality", "available_at")
MOMENT = np.datetime64("2024-01-15T06:40")


def write_store(path: Path, seed: int, start: str, n_days: int, leads: list[float], selectors: dict[str, str]) -> None:
    made = forecasts(range(24), leads, n_days, seed=seed, start=start, selectors=selectors)
    for name in selectors:  # no two stores have the same values
        made[name] = made[name].copy(data=made[name].values + np.float32(100_000 * seed))
    flags = np.random.default_rng(seed).integers(0, 2, made.status.shape).astype(np.uint16)
    made = made.assign_coords(quality=(made.status.dims, flags), point_id=("point", IDS))
    encoding = {name: {"chunks": (24, len(leads), 2)} for name in selectors}
    made.to_zarr(path, zarr_format=3, consolidated=False, encoding=encoding)


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("stores")
    quarters = [quarter / 4 for quarter in range(25)]
    write_store(root / "quarters.zarr", 1, "2024-01-15", 1, quarters, QUARTERS)
    write_store(root / "hourly.zarr", 2, "2024-01-14", 2, list(range(13)), HOURLY)
    write_store(root / "sfc.zarr", 3, "2024-01-15", 1, [0, 1, 2], HOURLY)
    write_store(root / "prs.zarr", 4, "2024-01-15", 1, [0, 1, 2], PRESSURE)
    return root


@pytest.fixture(scope="module", params=["open_dataset", "open_zarr"])
def page(request, stores) -> dict[str, Any]:
    """The names that the examples define; stores are opened with or without an index of the points."""
    ran: dict[str, Any] = {}

    def open_store(url: str, chunks: Any = None) -> xr.Dataset:
        opened = xr.open_zarr(stores / url, chunks=chunks, consolidated=False)
        # The first examples select points by name, which needs what open_dataset adds.
        return opened if request.param == "open_zarr" and "ramp" in ran else opened.set_xindex("point_id")

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(hrrr_dask, "open_dataset", open_store)
        for number, block in enumerate(BLOCKS):
            exec(compile(block, f"docs/quarter_hours.md, example {number + 1}", "exec"), ran)
    return ran


def stored(stores: Path, name: str) -> xr.Dataset:
    return xr.open_zarr(stores / f"{name}.zarr", chunks=None, consolidated=False).load()


def forecast_or_nan(ds: xr.Dataset, name: str, found: tuple[int, int] | None) -> np.ndarray:
    return np.full(ds.sizes["point"], np.nan) if found is None else ds[name].values[found]


def values_at(ds: xr.Dataset, name: str, init: np.datetime64, lead: np.timedelta64) -> Any:
    """A value of one file; None if the dataset has no such file."""
    i, j = (ds.init_time.values == init).nonzero()[0], (ds.lead_time.values == lead).nonzero()[0]
    return ds[name].values[i[0], j[0]] if len(i) and len(j) else None


def first_lead(name: str) -> int:
    return FIRST_LEAD.get(name, 0)


def test_the_page_has_examples(page):
    assert len(BLOCKS) == 7
    assert page["point"].point_id.item() == "roscoe"


def test_series_of_one_point(page, stores):
    ds = stored(stores, "quarters").isel(point=[1])
    ahead, best, known = page["ahead"].compute(), page["best"].compute(), page["known"].compute()
    for name in QUARTERS:
        for k, init in enumerate(ds.init_time.values):
            np.testing.assert_array_equal(ahead[name].values[k], value(ds, name, init, 75 * MINUTE)[0])
        assert best.valid_time.values.tolist() == [int(valid.astype("int64")) for valid in valid_times(ds)]
        for k, valid in enumerate(best.valid_time.values):
            expected = forecast_or_nan(ds, name, best_of(ds, valid, first_lead(name)))
            np.testing.assert_array_equal(best[name].values[k], expected[0])
        for k, valid in enumerate(known.valid_time.values):
            expected = forecast_or_nan(ds, name, newest_of(ds, valid, first_lead(name), MOMENT))
            np.testing.assert_array_equal(known[name].values[k], expected[0])
    assert known.valid_time.values[0] == np.datetime64("2024-01-15T06:30")
    assert (np.diff(best.valid_time.values) == 15 * MINUTE).all()


def test_the_table_of_one_minute_has_no_gaps_but_at_its_ends(page, stores):
    ds = stored(stores, "quarters").isel(point=1)
    table = page["table"]
    assert (table.lead_time.values / MINUTE).tolist() == [15, 75, 135, 195, 255, 315]
    for k, valid in enumerate(table.valid_time.values):
        for j, lead in enumerate(table.lead_time.values):
            run = (ds.init_time.values == valid - lead).nonzero()[0]
            at = (ds.lead_time.values == lead).nonzero()[0]
            expected = ds.temperature_2m.values[run[0], at[0]] if len(run) else np.nan
            np.testing.assert_array_equal(table.temperature_2m.values[k, j], expected)
    there = np.isin(table.init_time.values, ds.init_time.values)
    assert there[5:-5].all()
    whole = by_valid_time(ds)
    assert np.isin(whole.init_time.values, ds.init_time.values).mean() < 0.27


def test_a_ramp_is_within_one_run(page, stores):
    ds = stored(stores, "quarters").isel(point=1)
    speed = np.hypot(ds.u_component_wind_80m.values, ds.v_component_wind_80m.values)
    ramp = page["ramp"]
    assert ramp.dims == ("init_time", "lead_time")
    for j, lead in enumerate(ramp.lead_time.values):
        assert lead == (j + 1) * 15 * MINUTE
        np.testing.assert_array_equal(ramp.values[:, j], speed[:, j + 1] - speed[:, j])


def test_quarter_hours_and_then_whole_hours_have_the_files_of_each(page, stores):
    quarters, hourly, forecast = stored(stores, "quarters"), stored(stores, "hourly"), page["forecast"]
    assert all(forecast[name].chunks is not None for name in forecast.data_vars)
    assert set(forecast.data_vars) == set(QUARTERS) & set(HOURLY)
    assert (forecast.lead_time.values / HOUR).tolist() == [*(k / 4 for k in range(25)), *range(7, 13)]
    np.testing.assert_array_equal(forecast.init_time, quarters.init_time)
    np.testing.assert_array_equal(forecast.valid_time, forecast.init_time + forecast.lead_time)
    whole = forecast.compute()
    for init in forecast.init_time.values:
        for lead in forecast.lead_time.values:
            ds = quarters if lead <= 6 * HOUR else hourly
            for name in (*forecast.data_vars, *OF_FILES):
                found, expected = (values_at(source, name, init, lead) for source in (whole, ds))
                np.testing.assert_array_equal(found, expected)
    for name in OF_FILES:
        assert forecast[name].dtype == quarters[name].dtype
    best = best_estimate(forecast).compute()
    for k, valid in enumerate(best.valid_time.values):
        expected = forecast_or_nan(whole, "temperature_2m", best_of(whole, valid, 0))
        np.testing.assert_array_equal(best.temperature_2m.values[k], expected)
    far = fixed_lead(forecast, 12).temperature_2m.compute()
    np.testing.assert_array_equal(far, hourly.temperature_2m.sel(lead_time="12h", init_time=far.init_time.values))


def test_a_plain_merge_fails_as_the_page_says(page):
    with pytest.raises(xr.MergeError, match="conflicting values"):
        xr.merge([page["quarters"], page["hourly"]], join="outer", compat="no_conflicts")


def test_variables_of_another_store_stand_beside_those_of_quarter_hours(page, stores):
    quarters, hourly, merged = stored(stores, "quarters"), stored(stores, "hourly"), page["merged"]
    assert set(merged.data_vars) == {*QUARTERS, "relative_humidity_2m", "surface_roughness"}
    assert all(merged[name].chunks is not None for name in merged.data_vars)
    assert not merged.valid_time.isnull().any()
    whole = merged.compute()
    for init in merged.init_time.values:
        for lead in merged.lead_time.values:
            assert values_at(whole, "valid_time", init, lead) == init + lead
            for ds, names, prefix in ((quarters, QUARTERS, ""), (hourly, page["more"].data_vars, "sfc_")):
                for name in names:
                    np.testing.assert_array_equal(values_at(whole, name, init, lead), value(ds, name, init, lead))
                for name in OF_FILES:
                    found, expected = values_at(whole, f"{prefix}{name}", init, lead), values_at(ds, name, init, lead)
                    assert pd.isna(found) if expected is None or pd.isna(expected) else found == expected


def test_functions_choose_by_the_files_of_the_first_store(page, stores):
    quarters, hourly = stored(stores, "quarters"), stored(stores, "hourly")
    best = best_estimate(page["merged"]).compute()
    for k, valid in enumerate(best.valid_time.values):
        found = best_of(quarters, valid, 0)
        expected = forecast_or_nan(quarters, "temperature_2m", found)
        np.testing.assert_array_equal(best.temperature_2m.values[k], expected)
        if found is None:
            assert best.status.values[k] == NOT_INGESTED
            continue
        init, lead = quarters.init_time.values[found[0]], quarters.lead_time.values[found[1]]
        expected = value(hourly, "relative_humidity_2m", init, lead)
        np.testing.assert_array_equal(best.relative_humidity_2m.values[k], expected)
    ahead = fixed_lead(page["merged"], "15min").compute()
    assert ahead.relative_humidity_2m.isnull().all()
    assert ahead.temperature_2m.notnull().any()


def test_nothing_is_known_of_either_store_before_it_was_published(page, stores):
    quarters, hourly, known = stored(stores, "quarters"), stored(stores, "hourly"), page["together"].compute()
    assert known.valid_time.values[0] == np.datetime64("2024-01-15T06:30")
    assert known.relative_humidity_2m.notnull().any()
    for k, valid in enumerate(known.valid_time.values):
        for ds, name in ((quarters, "temperature_2m"), (hourly, "relative_humidity_2m")):
            expected = forecast_or_nan(ds, name, newest_of(ds, valid, 0, MOMENT))
            np.testing.assert_array_equal(known[name].values[k], expected)


def test_two_products_of_the_same_runs_are_merged_without_reading(page, stores):
    sfc, prs, both = stored(stores, "sfc"), stored(stores, "prs"), page["both"]
    for name in both.data_vars:
        assert not both[name].variable._in_memory
    whole = both.compute()
    for ds, names, prefix in ((sfc, HOURLY, ""), (prs, PRESSURE, "prs_")):
        for name in names:
            np.testing.assert_array_equal(whole[name], ds[name])
        for name in OF_FILES:
            np.testing.assert_array_equal(whole[f"{prefix}{name}"], ds[name])
            assert whole[f"{prefix}{name}"].dtype == ds[name].dtype
    np.testing.assert_array_equal(whole.valid_time, sfc.valid_time)
    with pytest.raises(ValueError, match="exact"):
        xr.merge([page["sfc"], page["label"](page["prs"].isel(lead_time=[0, 1]), "prs")], join="exact")
