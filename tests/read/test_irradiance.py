"""Irradiance for pvlib: against pvlib itself, plain loops, and integrals in steps of a minute."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import needs
from support.forecasts import HOUR, MINUTE, CountingStore, forecasts
from zarr.storage import LocalStore

from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.errors import ConfigError, UsageError
from hrrr_dask.quality.flags import FLAGS, quality_flags
from hrrr_dask.read.accessor import fixed_lead
from hrrr_dask.read.solar import solar

SELECTORS = {
    "visible_beam_downward_solar_flux": "VBDSF:surface:instant",
    "visible_diffuse_downward_solar_flux": "VDDSF:surface:instant",
}
PLACES = {"latitude": ("point", [32.3, 44.0, 40.0]), "longitude": ("point", [-100.4, -116.2, 116.4])}
COMPONENTS = ("ghi", "dni", "dhi")


def skies(
    leads: Any, cycles: Any = (0, 12), *, n_days: int = 1, cloud: Any = None, stored_ghi: bool = False
) -> xr.Dataset:
    """A store of pvlib's clear sky times a factor, which ``cloud`` gives for each valid time; all dims."""
    pvlib = needs.extra("pvlib")
    ds = forecasts(cycles, leads, n_days, selectors=SELECTORS).assign_coords(PLACES)
    found = {name: np.empty((ds.sizes["init_time"], ds.sizes["lead_time"], 3), np.float32) for name in COMPONENTS}
    for k in range(3):
        for i in range(ds.sizes["init_time"]):
            times = pd.DatetimeIndex(ds.valid_time.values[i], tz="UTC")
            place = pvlib.location.Location(ds.latitude.values[k], ds.longitude.values[k])
            sun = place.get_solarposition(times)
            sky = pvlib.clearsky.simplified_solis(sun["elevation"])
            factor = 1.0 if cloud is None else cloud(times)
            up = sun["elevation"] > 0
            found["dni"][i, :, k] = sky["dni"] * factor * up
            found["dhi"][i, :, k] = sky["dhi"] * factor * up
            found["ghi"][i, :, k] = (sky["dni"] * np.cos(np.radians(sun["zenith"])) + sky["dhi"]) * factor * up
    ds["visible_beam_downward_solar_flux"].values[:] = found["dni"]
    ds["visible_diffuse_downward_solar_flux"].values[:] = found["dhi"]
    if stored_ghi:
        attrs = {"hrrr_selector": "DSWRF:surface:instant", "units": "W m-2"}
        ds["downward_shortwave_flux"] = (("init_time", "lead_time", "point"), found["ghi"], attrs)
    return ds.assign_attrs(title="skies")


def integrated(
    ds: xr.Dataset, i: int, lead: np.timedelta64, k: int, minutes: int, cloud: Any = None
) -> dict[str, float]:
    """Mean of the clear sky times the factor over the minutes before a lead time, in steps of a minute."""
    pvlib = needs.extra("pvlib")
    end = pd.Timestamp(ds.init_time.values[i] + lead, tz="UTC")
    times = pd.date_range(end - pd.Timedelta(minutes=minutes) + pd.Timedelta("30s"), end, freq="1min")
    sun = pvlib.solarposition.get_solarposition(times, ds.latitude.values[k], ds.longitude.values[k])
    sky = pvlib.clearsky.simplified_solis(sun["elevation"]).where(sun["elevation"] > 0, 0)
    factor = 1.0 if cloud is None else cloud(times)
    closed = sky["dni"] * np.cos(np.radians(sun["zenith"])) + sky["dhi"]
    return {"ghi": (closed * factor).mean(), "dni": (sky["dni"] * factor).mean(), "dhi": (sky["dhi"] * factor).mean()}


# --- instants ---


def test_the_sum_of_beam_and_diffuse_is_that_of_pvlib():
    ds = skies(range(19), stored_ghi=True)
    stored = ds["downward_shortwave_flux"].values
    found = solar(ds.drop_vars("downward_shortwave_flux")).compute()
    assert found.ghi.dims == ("init_time", "lead_time", "point")
    assert found.ghi.dtype == np.float32
    assert stored.max() > 800
    np.testing.assert_allclose(found.ghi, stored, atol=0.5)
    np.testing.assert_array_equal(found.dni, ds.visible_beam_downward_solar_flux)
    np.testing.assert_array_equal(found.dhi, ds.visible_diffuse_downward_solar_flux)
    xr.testing.assert_identical(found.coords.to_dataset(), ds.coords.to_dataset())
    xr.testing.assert_identical(found, ds.drop_vars("downward_shortwave_flux").hrrr.solar().compute())


def test_the_stored_global_irradiance_is_preferred_to_the_sum():
    ds = skies(range(6), stored_ghi=True)
    ds["downward_shortwave_flux"] += 1000
    np.testing.assert_array_equal(solar(ds).ghi, ds.downward_shortwave_flux)


def test_the_sum_is_what_the_flag_of_closure_tests():
    ds = skies(range(24), cycles=[0])
    made = solar(ds).compute()
    values = {
        "downward_shortwave_flux": made.ghi.values,
        "visible_beam_downward_solar_flux": made.dni.values,
        "visible_diffuse_downward_solar_flux": made.dhi.values,
    }
    where = {
        "valid_time": ds.valid_time.values[..., None],
        "latitude": ds.latitude.values,
        "longitude": ds.longitude.values,
    }
    closure = FLAGS["solar-closure"].mask
    for flags in quality_flags(values, list(CATALOG.values()), **where).values():
        assert not (flags & closure).any()
    values["downward_shortwave_flux"] = values["downward_shortwave_flux"] * np.float32(1.3)
    wrong = quality_flags(values, list(CATALOG.values()), **where)
    assert (wrong["downward_shortwave_flux"] & closure).any()


def test_names_and_units_are_those_of_cf_and_nothing_else_is_needed_for_instants(monkeypatch):
    ds = skies(range(3))
    monkeypatch.setitem(sys.modules, "pvlib", None)
    found = solar(ds)
    assert list(found.data_vars) == list(COMPONENTS)
    assert found.ghi.attrs["standard_name"] == "surface_downwelling_shortwave_flux_in_air"
    assert found.dni.attrs["standard_name"] == CATALOG["visible_beam_downward_solar_flux"].standard_name
    assert found.dhi.attrs["standard_name"] == CATALOG["visible_diffuse_downward_solar_flux"].standard_name
    for name in COMPONENTS:
        assert found[name].attrs["units"] == "W m-2"
        assert found[name].attrs["cell_methods"] == "lead_time: point"
        assert found[name].attrs["grid_mapping"] == "crs"
    assert "cosine" in found.ghi.attrs["comment"]
    with pytest.raises(ConfigError, match=r"pvlib, which is not installed: pip install 'hrrr-dask\[analysis\]'"):
        solar(ds, mean="1h")


def test_a_spike_at_sunrise_is_missing_in_the_beam_but_not_in_the_sum():
    ds = skies(range(3))
    ds.visible_beam_downward_solar_flux.values[0, 1, 0] = 9876
    ds.visible_beam_downward_solar_flux.values[0, 2, 0] = np.nan
    found = solar(ds).compute()
    assert np.isnan(found.dni.values[0, 1:, 0]).all()
    assert np.isfinite(found.ghi.values[0, 1, 0])
    assert np.isnan(found.ghi.values[0, 2, 0])
    assert np.isfinite(np.delete(found.dni.values.ravel(), [3, 6])).all()


def test_variables_are_found_by_their_selectors_and_missing_ones_named():
    ds = skies(range(3))
    renamed = ds.rename(visible_beam_downward_solar_flux="dni_model", visible_diffuse_downward_solar_flux="other")
    xr.testing.assert_identical(solar(renamed).compute(), solar(ds).compute())
    for name in SELECTORS:
        with pytest.raises(UsageError, match=f"has no {name}: keep them"):
            solar(ds.drop_vars(name))
    with pytest.raises(UsageError, match="has no latitude"):
        solar(ds.drop_vars("latitude"))


def test_a_series_and_a_single_point_have_their_own_dims():
    ds = skies(range(7))
    whole = solar(ds).compute()
    series = solar(fixed_lead(ds, 6)).compute()
    assert series.ghi.dims == ("valid_time", "point")
    np.testing.assert_array_equal(series.ghi, whole.ghi.values[:, 6])
    assert series.ghi.attrs["cell_methods"] == "valid_time: point"
    one = solar(ds.isel(point=1)).compute()
    np.testing.assert_array_equal(one.ghi, whole.ghi.values[..., 1])
    single = solar(ds.isel(point=1, init_time=0, lead_time=2)).compute()
    np.testing.assert_array_equal(single.ghi, whole.ghi.values[0, 2, 1])


# --- averages ---


@pytest.mark.parametrize("stored_ghi", [False, True])
def test_hours_of_a_clear_sky_are_its_integrals(stored_ghi):
    ds = skies(range(25), cycles=[0], stored_ghi=stored_ghi)
    found = solar(ds, mean="1h").compute()
    assert found.ghi.dims == ("init_time", "lead_time", "point")
    assert found.ghi.dtype == np.float32
    for name in COMPONENTS:
        assert np.isnan(found[name].values[:, 0]).all(), "there is no instant before the first"
        for k in range(3):
            for j in range(1, 25):
                expected = integrated(ds, 0, j * HOUR, k, 60)[name]
                # Besides the steps of 5 min, the index of a low sun is replaced.
                np.testing.assert_allclose(found[name].values[0, j, k], expected, atol=5 if name == "dni" else 2)
        assert found[name].max() > (700 if name != "dhi" else 50)


def test_nights_are_zero():
    ds = skies(range(25), cycles=[0])
    found = solar(ds, mean=1).compute()
    dark = (ds.visible_diffuse_downward_solar_flux == 0).values
    dark = dark & np.roll(dark, 1, axis=1)
    dark[:, 0] = False
    assert dark.sum() > 20
    for name in COMPONENTS:
        assert (found[name].values[dark] == 0).all()


def test_clouds_that_change_steadily_are_followed():
    pvlib = needs.extra("pvlib")
    start = pd.Timestamp("2024-07-01", tz="UTC")

    def cloud(times: pd.DatetimeIndex) -> np.ndarray:
        hours = np.asarray((times - start) / pd.Timedelta("1h"))
        return np.interp(hours, np.arange(0, 49, 2), np.resize([1, 0.2, 0.7, 0.9], 25))

    ds = skies(range(25), cycles=[12], cloud=cloud)
    found = solar(ds, mean="1h").compute()
    compared = 0
    for name in COMPONENTS:
        for k in range(3):
            for j in range(1, 25):
                times = pd.DatetimeIndex(ds.valid_time.values[0, j - 1 : j + 1], tz="UTC")
                sun = pvlib.solarposition.get_solarposition(times, ds.latitude.values[k], ds.longitude.values[k])
                if (sun["elevation"] < 5.1).any():
                    continue
                expected = integrated(ds, 0, j * HOUR, k, 60, cloud)[name]
                np.testing.assert_allclose(found[name].values[0, j, k], expected, rtol=0.005, atol=0.5)
                compared += 1
    assert compared > 60


def test_other_lengths_and_steps():
    ds = skies(range(0, 25, 3), cycles=[0])
    found = solar(ds, mean="1h").compute()
    for j in range(1, 9):
        expected = integrated(ds, 0, 3 * j * HOUR, 0, 60)["ghi"]
        np.testing.assert_allclose(found.ghi.values[0, j, 0], expected, atol=6)
    long = solar(ds, mean=np.timedelta64(6, "h")).compute()
    assert np.isnan(long.ghi.values[0, :2]).all()
    for j in range(2, 9):
        np.testing.assert_allclose(long.ghi.values[0, j, 0], integrated(ds, 0, 3 * j * HOUR, 0, 360)["ghi"], atol=8)
    assert long.ghi.attrs["cell_methods"] == "lead_time: mean (interval: 360 minutes)"
    fine = skies([quarter / 4 for quarter in range(60, 80)], cycles=[0])
    hours = solar(fine, mean="1h").compute()
    assert np.isnan(hours.ghi.values[:, :4]).all()
    for j in range(4, 20):
        expected = integrated(fine, 0, fine.lead_time.values[j], 0, 60)["ghi"]
        np.testing.assert_allclose(hours.ghi.values[0, j, 0], expected, atol=1)


def test_a_missing_instant_is_missing_in_the_averages_that_need_it_day_and_night():
    ds = skies(range(25), cycles=[0])
    for lead in (9, 20):
        ds.visible_beam_downward_solar_flux.values[0, lead, 0] = np.nan
    found = solar(ds, mean="1h").compute()
    assert np.flatnonzero(np.isnan(found.dni.values[0, :, 0])).tolist() == [0, 9, 10, 20, 21]
    assert np.flatnonzero(np.isnan(found.ghi.values[0, :, 0])).tolist() == [0, 9, 10, 20, 21]
    assert np.flatnonzero(np.isnan(found.dhi.values[0, :, 0])).tolist() == [0]
    assert np.flatnonzero(np.isnan(found.dni.values[0, :, 1])).tolist() == [0]


def test_instants_far_apart_are_not_joined():
    found = solar(skies([0, 1, 2, 12, 13], cycles=[12]), mean="1h").compute()
    assert np.flatnonzero(np.isnan(found.ghi.values[0, :, 0])).tolist() == [0, 3]
    with pytest.raises(UsageError, match=r"at most 3 h apart are needed, and those along lead_time"):
        solar(skies([0, 6, 12]), mean="1h")
    with pytest.raises(UsageError, match="one time only"):
        solar(skies([0, 1]).isel(lead_time=0), mean="1h")
    with pytest.raises(UsageError, match="ascending times along lead_time"):
        solar(skies([0, 1]).isel(lead_time=[1, 0]), mean="1h")


@pytest.mark.parametrize("mean", [0, -1, "soon", "2 days", np.timedelta64("NaT"), pd.NaT, "0h"], ids=repr)
def test_what_is_not_the_length_of_an_average_is_refused(mean):
    with pytest.raises(ConfigError, match=r"is not the length of an average .* give a number of hours"):
        solar(skies([0, 1]), mean=mean)


def test_a_series_is_averaged_along_valid_time():
    ds = skies([0, 6], cycles=range(24))
    series = fixed_lead(ds, 6)
    found = solar(series, mean="1h").compute()
    assert found.ghi.dims == ("valid_time", "point")
    assert found.ghi.attrs["cell_methods"] == "valid_time: mean (interval: 60 minutes)"
    for i in range(1, 24):
        expected = integrated(ds, i, 6 * HOUR, 0, 60)["ghi"]
        np.testing.assert_allclose(found.ghi.values[i, 0], expected, atol=2)


def quarters() -> xr.Dataset:
    """Instants, and averages of 15 minutes that no instant would give."""
    ds = skies([quarter / 4 for quarter in range(60, 73)], cycles=[0, 6], stored_ghi=True)
    rng = np.random.default_rng(1)
    for name, selector in (("own", "DSWRF:surface:15 min ave"), ("own_beam", "VBDSF:surface:15 min ave")):
        values = rng.uniform(0, 900, ds.downward_shortwave_flux.shape).astype(np.float32)
        ds[name] = (ds.downward_shortwave_flux.dims, values, {"hrrr_selector": selector})
    return ds


def test_the_archives_own_averages_are_preferred():
    ds = quarters()
    exact = solar(ds, mean="15min").compute()
    np.testing.assert_array_equal(exact.ghi, ds.own)
    np.testing.assert_array_equal(exact.dni, ds.own_beam)
    assert exact.ghi.attrs["comment"] == "average of the archive's averages of 15 minutes"
    assert "clear-sky index" in exact.dhi.attrs["comment"]
    hours = solar(ds, mean="1h").compute()
    xr.testing.assert_identical(hours.coords.to_dataset(), ds.coords.to_dataset())
    assert np.isnan(hours.ghi.values[:, :3]).all()
    for j in range(3, 13):
        np.testing.assert_allclose(hours.ghi.values[:, j], ds.own.values[:, j - 3 : j + 1].mean(axis=1), rtol=1e-6)
        np.testing.assert_allclose(hours.dni.values[:, j], ds.own_beam.values[:, j - 3 : j + 1].mean(axis=1), rtol=1e-6)
    without = solar(ds.drop_vars(["own", "own_beam"]), mean="1h").compute()
    np.testing.assert_array_equal(hours.dhi, without.dhi)
    odd = solar(ds, mean="10min").compute()
    np.testing.assert_allclose(
        odd.ghi.values[0, 1, 0], integrated(ds, 0, 15 * HOUR + 15 * MINUTE, 0, 10)["ghi"], atol=2
    )


def test_a_missing_quarter_is_missing_in_the_hours_that_need_it():
    ds = quarters().isel(lead_time=[0, 1, 2, 3, 5, 6, 7, 8, 9])
    found = solar(ds, mean="1h").compute()
    assert np.isnan(found.ghi.values[:, [0, 1, 2, 4, 5, 6]]).all()
    assert np.isfinite(found.ghi.values[:, [3, 7, 8]]).all()


# --- lazy ---


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
@pytest.mark.parametrize("mean", [None, "1h"])
def test_nothing_is_read_before_it_is_computed_and_then_what_is_needed_once(tmp_path, chunks, mean):
    made = skies(range(13), cycles=range(0, 24, 6), n_days=2)
    encoding = {name: {"chunks": (4, 13, 2)} for name in SELECTORS}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    ds = xr.open_zarr(store, chunks=chunks, consolidated=False, decode_timedelta=True)
    store.take()
    found = solar(ds, mean)
    assert all(found[name].chunks is not None for name in COMPONENTS)
    assert {key.partition("/")[0] for key in store.take()} <= {"latitude", "longitude", "init_time", "lead_time"}
    one = found.dni.isel(point=2).values
    keys = [key for key in store.take() if "solar_flux" in key]
    assert sorted(keys) == [f"visible_beam_downward_solar_flux/c/{k}/0/1" for k in range(2)]
    np.testing.assert_array_equal(one, solar(made, mean).dni.values[..., 2])
