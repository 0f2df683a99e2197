"""Errors by lead time: against loops over every run, lead time and point."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import needs
from support.forecasts import HOUR, CountingStore, forecasts
from zarr.storage import LocalStore

from hrrr_dask.errors import ConfigError, PointsError, UsageError
from hrrr_dask.read import skill
from hrrr_dask.read.accessor import fixed_lead
from hrrr_dask.read.skill import errors

SELECTORS = {"temperature_2m": "TMP:2 m above ground:instant"}
LEADS = (0, 1, 2, 3, 6, 12, 18)


def made(seed: int = 0, **options: Any) -> xr.Dataset:
    """Random values with gaps, so that no average is that of another lead time or point."""
    ds = forecasts(**{"selectors": SELECTORS, "leads": LEADS, **options}, seed=seed)
    rng = np.random.default_rng(seed)
    for name in ds.data_vars:
        ds[name] = ds[name].copy(data=np.where(ds[name].isnull(), np.nan, rng.normal(280, 5, ds[name].shape)))
    return ds


def observed(ds: xr.Dataset, seed: int = 1) -> xr.DataArray:
    """Observations of two of the points in another order and of one more, at most hours, and at some not forecast."""
    rng = np.random.default_rng(seed)
    first, last = ds.init_time.values.min(), ds.valid_time.values.max()
    times = np.arange(first - 5 * HOUR, last + 5 * HOUR, HOUR)
    times = times[rng.random(len(times)) < 0.8]
    values = rng.normal(280, 5, (len(times), 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    coords = {"valid_time": times, "point_id": ("point", np.array(["p2", "elsewhere", "p0"], dtype=object))}
    return xr.DataArray(values, dims=("valid_time", "point"), coords=coords, name="temperature_2m")


def crps(members: list[float], actual: float) -> float:
    spread = sum(abs(a - b) for a in members for b in members) / (2 * len(members) ** 2)
    return sum(abs(a - actual) for a in members) / len(members) - spread


def scored(ds: xr.Dataset, truth: dict[tuple[Any, str], float], lead: Any, k: int, size: int) -> dict[str, float]:
    """The scores of one lead time and point; NaN without a pair."""
    values = {
        (init, at): float(ds.temperature_2m.values[i, j, k])
        for i, init in enumerate(ds.init_time.values.tolist())
        for j, at in enumerate(ds.lead_time.values.tolist())
    }
    differences, ensembles, sizes = [], [], []
    for init in ds.init_time.values:
        valid = int((init + lead).astype("datetime64[ns]").astype("int64"))
        own = values[int(init.astype("int64")), int(lead.astype("int64"))]
        actual = truth.get((valid, str(ds.point_id.values[k])), np.nan)
        if np.isnan(own) or np.isnan(actual):
            continue
        older = [values.get((valid - at, at), np.nan) for at in sorted(ds.lead_time.values.tolist()) if at >= lead]
        members = [value for value in older if not np.isnan(value)][:size]
        differences.append(own - actual)
        ensembles.append(crps(members, actual))
        sizes.append(len(members))
    if not differences:
        return {"n": 0, **dict.fromkeys(("bias", "mae", "rmse", "crps", "members"), np.nan)}
    return {
        "n": len(differences),
        "bias": sum(differences) / len(differences),
        "mae": sum(abs(each) for each in differences) / len(differences),
        "rmse": (sum(each**2 for each in differences) / len(differences)) ** 0.5,
        "crps": sum(ensembles) / len(ensembles),
        "members": sum(sizes) / len(sizes),
    }


def check(ds: xr.Dataset, found: xr.Dataset, truth: dict[tuple[Any, str], float], size: int) -> None:
    for j, lead in enumerate(found.lead_time.values.astype("timedelta64[ns]")):
        for k in range(ds.sizes["point"]):
            for name, expected in scored(ds, truth, lead, k, size).items():
                np.testing.assert_allclose(found[name].values[j, k], expected, rtol=1e-9, err_msg=f"{name} {lead} {k}")


def as_dict(truth: xr.DataArray) -> dict[tuple[Any, str], float]:
    return {
        (valid, str(point)): float(truth.values[t, k])
        for t, valid in enumerate(truth.valid_time.values.astype("datetime64[ns]").astype("int64").tolist())
        for k, point in enumerate(truth.point_id.values)
    }


@pytest.fixture(params=["memory", "lazy", "dask"])
def ds(request, tmp_path) -> xr.Dataset:
    """The same forecasts as users may have them."""
    whole = made(cycles=range(0, 24, 3), n_days=4)
    if request.param == "memory":
        return whole
    whole.to_zarr(
        tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding={"temperature_2m": {"chunks": (5, 7, 2)}}
    )
    chunks: Any = {} if request.param == "dask" else None
    return xr.open_zarr(tmp_path / "s.zarr", chunks=chunks, consolidated=False, decode_timedelta=True)


# --- the analysis ---


@pytest.mark.parametrize("members", [1, 3, 6])
def test_errors_against_the_analysis_are_those_of_loops(ds, members):
    needs.extra("scores")
    found = errors(ds, members=members)
    assert found.rmse.dims == found.crps.dims == ("lead_time", "point")
    assert all(found[name].chunks is not None for name in found.data_vars)
    found, whole = found.compute(), ds.compute()
    assert (found.lead_time.values / HOUR).tolist() == [1, 2, 3, 6, 12, 18], "the error of the analysis itself is 0"
    truth = as_dict(fixed_lead(whole, 0).temperature_2m)
    check(whole, found, truth, members)
    assert (found.n.sel(lead_time="1h") == 0).all(), "runs of 3 h have no analysis at 1 h"
    assert (found.n.sel(lead_time="6h") > 15).all()
    assert found.members.max() <= members
    if members == 1:
        np.testing.assert_allclose(found.crps, found.mae)
    else:
        assert (found.members.sel(lead_time="6h") > 1.5).all()
    xr.testing.assert_identical(found, ds.hrrr.errors(members=members).compute())


def test_labels_and_units():
    ds = made()
    ds.temperature_2m.attrs |= {"units_metadata": "temperature: on_scale"}
    found = errors(ds, members=0)
    assert list(found.data_vars) == ["bias", "mae", "rmse", "n"]
    assert found.rmse.attrs == {
        "long_name": "root mean square error",
        "units": "K",
        "units_metadata": "temperature: difference",
    }
    assert found.n.attrs == {"long_name": "number of pairs", "units": "1"}
    assert found.point_id.values.tolist() == ["p0", "p1", "p2"]
    assert set(found.coords) == {"lead_time", "point_id", "latitude", "crs"}


def test_scores_never_takes_a_mean_of_nothing(monkeypatch):
    """Its numpy would warn, and threads of Dask undo each other's filters of warnings."""
    score, empty = needs.extra("scores.probability").crps_for_ensemble, []

    def spy(ensemble: xr.DataArray, truth: xr.DataArray, *args: Any, **options: Any) -> Any:
        empty.append(int((ensemble.isnull().all("member") | truth.isnull()).sum()))
        return score(ensemble, truth, *args, **options)

    monkeypatch.setattr(skill, "_crps_function", lambda: spy)
    ds = forecasts()[["temperature_2m"]]
    found = errors(ds.where(ds.point > 0)).compute()
    assert set(empty) == {0}
    assert found.crps.isel(point=0).isnull().all()
    assert found.crps.isel(point=1).notnull().any()


def test_without_the_extra_only_the_crps_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "scores.probability", None)
    assert errors(made(), members=0).rmse.notnull().any()
    with pytest.raises(ConfigError, match=r"scores, which is not installed: pip install 'hrrr-dask\[analysis\]'.*=0"):
        errors(made())
    with pytest.raises(ConfigError, match="members=-1 is not a size"):
        errors(made(), members=-1)


def test_without_an_analysis_there_is_nothing_to_compare_with():
    with pytest.raises(UsageError, match=r"need lead time 0, and this dataset has 1-3 h, 6 h: select it too"):
        errors(made(leads=[1, 2, 3, 6]), members=0)
    with pytest.raises(UsageError, match="with the times init_time and lead_time"):
        errors(fixed_lead(made(), 6), members=0)


def test_several_variables_are_told_apart_and_each_is_as_if_alone():
    ds = made(selectors={**SELECTORS, "precipitation_1h": "APCP:surface:1 hour acc"}, cycles=range(24))
    found = errors(ds, members=0)
    assert found.rmse.dims == ("variable", "lead_time", "point")
    assert found.sel(variable="precipitation_1h").units.item() == "kg m-2"
    for name in ds.data_vars:
        alone = errors(ds[[name]], members=0)
        for score in found.data_vars:
            np.testing.assert_array_equal(found[score].sel(variable=name), alone[score])
    assert (found.n.sel(variable="precipitation_1h") == 0).all(), "an hour's sum has no analysis"
    assert found.n.sel(variable="temperature_2m").min() > 20


def test_the_order_of_runs_and_lead_times_does_not_matter():
    needs.extra("scores")
    ds = made(cycles=range(0, 24, 3))
    mixed = ds.isel(
        init_time=np.random.default_rng(3).permutation(ds.sizes["init_time"]), lead_time=[3, 0, 6, 5, 1, 2, 4]
    )
    xr.testing.assert_allclose(errors(mixed).compute(), errors(ds).compute())


# --- observations ---


def test_errors_against_observations_are_those_of_loops_and_hours_not_observed_are_left_out(ds):
    needs.extra("scores")
    truth = observed(ds)
    found, whole = errors(ds, truth).compute(), ds.compute()
    assert (found.lead_time.values / HOUR).tolist() == list(LEADS)
    check(whole, found, as_dict(truth), 6)
    assert (found.n.values[:, [0, 2]] > 10).all()
    assert (found.n.values[:, 1] == 0).all(), "p1 was not observed"
    assert np.isnan(found.rmse.values[:, 1]).all()


def test_tables_of_either_form_are_as_good_as_arrays():
    ds = made(cycles=range(0, 24, 3))
    truth = observed(ds)
    expected = errors(ds, truth, members=0).compute()
    assert expected.n.max() > 10
    wide = pd.DataFrame(truth.values, index=pd.DatetimeIndex(truth.valid_time), columns=truth.point_id.values)
    tidy = wide.rename_axis(index="valid_time", columns="point_id").stack().rename("temperature_2m").to_frame()
    rows = tidy.reset_index().sample(frac=1, random_state=0)
    local = rows.assign(valid_time=rows.valid_time.dt.tz_localize("UTC").dt.tz_convert("America/Boise"))
    forms = {
        "columns for points": wide,
        "with a time zone": wide.tz_localize("UTC").tz_convert("America/Chicago"),
        "index of two levels": tidy,
        "rows": rows,
        "rows with a time zone": local,
        "rows and other columns": rows.assign(wind=3.0),
        "a dataset": truth.to_dataset(),
        "dim point_id": truth.swap_dims(point="point_id"),
        "transposed": truth.T,
        "in chunks": truth.chunk({"valid_time": 7}),
        "seconds": truth.assign_coords(valid_time=truth.valid_time.values.astype("datetime64[s]")),
    }
    for form, given in forms.items():
        for found in (errors(ds, given, members=0), ds.hrrr.errors(given, members=0)):
            xr.testing.assert_identical(found.compute(), expected), form


def test_a_single_point_needs_no_name_in_truth():
    ds = made(cycles=range(0, 24, 3))
    truth = observed(ds)
    expected = errors(ds, truth, members=0).compute().isel(point=2)
    one = truth.isel(point=0)
    for chosen in (ds.isel(point=2), ds.isel(point=[2])):
        for given in (
            one,
            one.drop_vars("point_id"),
            truth,
            one.to_dataset(),
            one.drop_vars("point_id").to_series().to_frame("p2"),
        ):
            found = errors(chosen, given, members=0).squeeze().compute()
            np.testing.assert_array_equal(found.rmse, expected.rmse)
            np.testing.assert_array_equal(found.n, expected.n)


def test_what_cannot_be_aligned_is_refused_and_said_why():
    ds = made()
    truth = observed(ds)
    late = truth.assign_coords(valid_time=truth.valid_time + np.timedelta64(53, "m"))
    with pytest.raises(UsageError, match=r"no valid time of this dataset: .* begin at 2024-06-30T19:53, .* rounded"):
        errors(ds, late, members=0)
    with pytest.raises(PointsError, match=r"none of this dataset's points, such as p0, p1, p2; it has elsewhere: name"):
        errors(ds, truth.isel(point=[1]), members=0)
    with pytest.raises(PointsError, match="does not say which points"):
        errors(ds, truth.drop_vars("point_id"), members=0)
    with pytest.raises(PointsError, match="does not say which points"):
        errors(ds, truth.isel(point=0, drop=True), members=0)
    with pytest.raises(PointsError, match="no coordinate point_id"):
        errors(ds.drop_vars("point_id"), truth, members=0)
    with pytest.raises(PointsError, match="point_id twice"):
        errors(ds, truth.isel(point=[0, 0]), members=0)
    with pytest.raises(UsageError, match="is missing or given twice"):
        errors(ds, truth.isel(valid_time=[0, 0, 1]), members=0)
    with pytest.raises(UsageError, match=r"dims \('time', 'point'\).* give a DataArray of dims"):
        errors(ds, truth.rename(valid_time="time"), members=0)
    tidy = truth.to_dataframe().reset_index()[["valid_time", "point_id", "temperature_2m"]]
    with pytest.raises(UsageError, match=r"1 rows for a point and time .* such as p2 at 2024-"):
        errors(ds, pd.concat([tidy, tidy.iloc[:1]]), members=0)
    with pytest.raises(UsageError, match=r"columns valid_time, point_id, t2m: give a DataArray"):
        errors(ds, tidy.rename(columns={"temperature_2m": "t2m"}), members=0)
    two = ds.assign(other=ds.temperature_2m)
    with pytest.raises(UsageError, match=r"none of temperature_2m, other of this dataset"):
        errors(two, truth.rename("wind"), members=0)
    with pytest.raises(UsageError, match="it is a list"):
        errors(ds, [1.0], members=0)  # type: ignore[arg-type]


# --- lazy ---


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_nothing_is_read_before_it_is_computed_and_then_each_chunk_of_the_point_once(tmp_path, chunks):
    needs.extra("scores")
    whole = made(cycles=range(0, 24, 3), n_days=4)
    whole.to_zarr(
        tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding={"temperature_2m": {"chunks": (8, 7, 2)}}
    )
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    ds = xr.open_zarr(store, chunks=chunks, consolidated=False, decode_timedelta=True)
    store.take()
    found = errors(ds)
    assert [key for key in store.take() if key.startswith("temp")] == []
    one = found.isel(point=2).compute()
    keys = [key for key in store.take() if key.startswith("temp")]
    assert sorted(keys) == [f"temperature_2m/c/{day}/0/1" for day in range(4)]
    np.testing.assert_allclose(one.rmse, errors(whole).rmse.values[:, 2])
    truth = observed(ds).sel(valid_time=slice("2024-07-04T21", None))
    found = errors(ds.sel(init_time="2024-07-04").isel(point=[2]), truth, members=0)
    store.take()
    found.compute()
    assert {key for key in store.take() if key.startswith("temp")} == {"temperature_2m/c/3/0/1"}
