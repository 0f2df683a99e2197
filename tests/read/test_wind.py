"""Wind at any height: against calculation by hand, one value at a time."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from support.forecasts import CountingStore, forecasts
from zarr.storage import LocalStore

from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.errors import ConfigError, UsageError
from hrrr_dask.read import accessor  # noqa: F401  gives datasets their accessor
from hrrr_dask.read.forecasts import best_estimate
from hrrr_dask.read.wind import wind

NAMES = [f"{axis}_component_wind_{level}m" for level in (10, 80) for axis in "uv"]
ATTRS = {"units": "m s-1", "grid_mapping": "crs", "cell_methods": "lead_time: point"}
COMPONENT = st.sampled_from([0.0, -0.0]) | st.floats(-60, 60, width=32)


def at_one_point(*components: float) -> xr.Dataset:
    """One forecast: u and v at 10 m, u and v at 80 m."""
    return xr.Dataset({name: ("point", np.float32([v]), ATTRS) for name, v in zip(NAMES, components, strict=True)})


def speed_and_direction(ds: xr.Dataset, *args: Any, **options: Any) -> tuple[float, float]:
    found = wind(ds, *args, **options)
    return float(found.wind_speed.values[0]), float(found.wind_from_direction.values[0])


def power_law(v10: float, v80: float, height: float) -> float:
    """As the docstring says, in plain arithmetic."""
    if 10 <= height <= 80 and (v10 == 0 or v80 == 0):
        return v10 + (v80 - v10) * math.log(height / 10) / math.log(8)
    if v80 == v10 == 0:
        return 0.0
    alpha = math.inf if v10 == 0 else -math.inf if v80 == 0 else (math.log(v80) - math.log(v10)) / math.log(80 / 10)
    if 10 <= height <= 80:
        return v80 * (height / 80) ** alpha
    alpha = min(max(alpha, -0.6), 0.6)
    return v80 * (height / 80) ** alpha if height > 80 else v10 * (height / 10) ** alpha


@pytest.mark.parametrize(
    ("u", "v", "comes_from"),
    [
        (0, -5, 360),  # from north, blowing to south
        (-5, 0, 90),
        (0, 5, 180),
        (5, 0, 270),
        (-1, -1, 45),
        (-1, 1, 135),
        (1, 1, 225),  # metpy.calc.wind_direction(10 m/s, 10 m/s)
        (1, -1, 315),
        (-0.0, 5, 180),
        (0, 0, 0),
        (-0.0, -0.0, 0),
    ],
)
@pytest.mark.parametrize("height", [10, 80])
def test_the_direction_is_where_the_wind_comes_from_clockwise_from_north(u, v, comes_from, height):
    # 330 m/s at the other height must not matter
    here = (u, v, 330, 0) if height == 10 else (330, 0, u, v)
    speed, direction = speed_and_direction(at_one_point(*here), height)
    assert speed == pytest.approx(math.sqrt(u * u + v * v))
    assert direction == pytest.approx(comes_from, abs=1e-4)


def test_the_speed_at_a_hub_follows_the_exponent_of_the_forecast():
    # 5 and 8 m/s: alpha = ln(1.6) / ln(8) = 0.22602, and 8 m/s * (100 / 80) ** 0.22602 = 8.41378 m/s.
    speed, direction = speed_and_direction(at_one_point(3, 4, 0, -8), 100)
    assert speed == pytest.approx(8.41378, abs=1e-4)
    assert direction == 360
    assert speed_and_direction(at_one_point(3, 4, 0, -8), 80) == (8, 360)
    assert speed_and_direction(at_one_point(3, 4, 0, -8), 10)[0] == 5


@given(COMPONENT, COMPONENT, COMPONENT, COMPONENT, st.sampled_from([2, 10, 10.0, 28, 45.5, 79.9, 80, 80.1, 100, 160]))
def test_any_wind_is_the_power_law_by_hand(u10, v10, u80, v80, height):
    found = wind(at_one_point(u10, v10, u80, v80), height)
    low, high = math.hypot(u10, v10), math.hypot(u80, v80)
    assert found.wind_speed.values[0] == pytest.approx(power_law(low, high, height), rel=2e-5, abs=1e-30)
    weight = min(max(math.log(height / 10) / math.log(8), 0), 1)
    u, v = u10 + (u80 - u10) * weight, v10 + (v80 - v10) * weight
    direction = found.wind_from_direction.values[0]
    assert 0 <= direction <= 360
    if math.hypot(u, v) > 1e-3:
        off = math.remainder(float(direction) - math.degrees(math.atan2(-u, -v)), 360)
        assert abs(off) < 0.05


def test_calm_air_at_one_height_gives_no_infinite_or_missing_speed():
    above_calm = at_one_point(0, 0, 0, 6)
    assert speed_and_direction(above_calm, 160)[0] == pytest.approx(6 * 2**0.6)
    assert speed_and_direction(above_calm, 40)[0] == pytest.approx(6 * math.log(4) / math.log(8))
    assert speed_and_direction(at_one_point(0, 6, 0, 0), 160) == (0, 0)
    assert speed_and_direction(at_one_point(0, 0, 0, 0), 100) == (0, 0)
    nearly_calm = at_one_point(0.01, 0, 0, 6)
    assert speed_and_direction(nearly_calm, 160)[0] == pytest.approx(6 * 2**0.6)


def test_a_missing_component_gives_missing_wind():
    for k in range(4):
        components = [3.0, 4.0, 6.0, 8.0]
        components[k] = math.nan
        assert all(math.isnan(found) for found in speed_and_direction(at_one_point(*components), 40))
        speed, direction = speed_and_direction(at_one_point(*components), 100)
        assert math.isnan(speed)
        assert math.isnan(direction) == (k > 1), "the direction above 80 m is that of 80 m"
        for height, there in ((10, k > 1), (80, k < 2)):
            assert math.isnan(speed_and_direction(at_one_point(*components), height)[0]) != there


@pytest.mark.parametrize(("height", "speed", "direction"), [(100, 8, 360), (30, 8, 360), (20, 5, 216.8699)])
def test_a_constant_exponent_is_from_the_nearer_height(height, speed, direction):
    level = 80 if height > 28.3 else 10
    found = speed_and_direction(at_one_point(3, 4, 0, -8), height, shear=0.14)
    assert found == pytest.approx((speed * (height / level) ** 0.14, direction), rel=1e-6)


def test_a_constant_exponent_needs_one_height_only():
    ds = at_one_point(3, 4, 0, -8)
    low = ds.drop_vars(NAMES[2:])
    assert speed_and_direction(low, 100, 0.2)[0] == pytest.approx(5 * 10**0.2)
    with pytest.raises(UsageError, match=r"80 m needs u_component_wind_80m and v_component_wind_80m, .*add-variables"):
        wind(low, 100)
    with pytest.raises(UsageError, match=r"10 m needs v_component_wind_10m, .*shear=0.14 needs one height only"):
        wind(ds.drop_vars("v_component_wind_10m"), 100)
    assert speed_and_direction(ds.drop_vars(NAMES[:2]), 80) == (8, 360)
    with pytest.raises(UsageError, match="the wind at 80 m needs"):
        wind(ds.drop_vars(NAMES), 100, 0.2)


@pytest.mark.parametrize(
    ("names", "given", "expected"),
    [
        (["u10"], (10,), r"at 10 m needs v_component_wind_10m, and this dataset has only u_component_wind_10m: .*"),
        (["u10"], (100, 0.14), r"at 10 m needs v_component_wind_10m, and .* only u_component_wind_10m: .*"),
        (["v80"], (10, 0.14), r"at 80 m needs u_component_wind_80m, and .* only v_component_wind_80m: .*"),
        (["u80"], (100,), r"at 80 m needs v_component_wind_80m, and .* only u_component_wind_80m: .*"),
        (
            ["u10", "u80", "v80"],
            (100,),
            r"at 10 m needs v_.* only u_component_wind_10m: .*shear=0\.14 needs one.*",
        ),
        (
            ["u10", "v10", "u80"],
            (100,),
            r"at 80 m needs v_.* only u_component_wind_80m: .*shear=0\.14 needs one.*",
        ),
        (["u10", "u80", "v80"], (10,), r"at 10 m needs v_component_wind_10m, and .* only u_component_wind_10m: .*"),
    ],
)
def test_one_component_without_the_other_is_named_and_only_what_helps_is_advised(names, given, expected):
    ds = at_one_point(3, 4, 0, -8)[[f"{name[0]}_component_wind_{name[1:]}m" for name in names]]
    with pytest.raises(UsageError, match=f"^the wind {expected}$") as caught:
        wind(ds, *given)
    assert "hrrr-dask add-variables" in str(caught.value)
    assert ("shear" in str(caught.value)) == ("shear" in expected)


@pytest.mark.parametrize("shear", [None, 0.14, "of each point"])
def test_each_point_may_have_its_own_height(shear):
    components = np.random.default_rng(0).normal(0, 8, (4, 6)).astype(np.float32)
    ds = xr.Dataset({name: ("point", values, ATTRS) for name, values in zip(NAMES, components, strict=True)})
    ds = ds.assign_coords(hub_height=("point", [5, 10, 20, 30, 80, 120]), alpha=("point", [0.1, 0.2, 0.3, 0.1, 0.2, 0]))
    given_shear = ds.alpha if shear == "of each point" else shear
    found = wind(ds, ds.hub_height, given_shear)
    for k in range(6):
        one = None if shear is None else float(ds.alpha[k]) if shear == "of each point" else shear
        expected = wind(ds.isel(point=[k]), float(ds.hub_height[k]), one)
        np.testing.assert_allclose(found.wind_speed.values[k], expected.wind_speed.values[0], rtol=1e-6)
        np.testing.assert_allclose(found.wind_from_direction.values[k], expected.wind_from_direction.values[0])
    assert found.height.values.tolist() == [5, 10, 20, 30, 80, 120]
    assert found.wind_speed.attrs["long_name"] == "wind speed at the height of each point"


@pytest.mark.parametrize(
    ("height", "said"),
    [
        (0, "is not a height"),
        (-80, "is not a height"),
        (float("nan"), "missing or infinite"),
        (float("inf"), "missing or infinite"),
        ("80", "is not a number"),
        (None, "is not a number"),
        ([80, 100], "is not a number"),
        (True, "is not a number"),
        (xr.DataArray([80.0, 100.0], dims="point"), "one value for each point"),
        (xr.DataArray([np.nan], dims="point"), "missing or infinite at some points"),
        (xr.DataArray([100.0], dims="point", coords={"point_id": ("point", ["other"])}), "for other points"),
    ],
    ids=str,
)
def test_what_is_not_a_height_is_refused(height, said):
    ds = at_one_point(3, 4, 0, -8).assign_coords(point_id=("point", ["here"]))
    with pytest.raises(ConfigError, match=said):
        wind(ds, height)
    with pytest.raises(ConfigError, match="shear"):
        wind(ds, 100, "0.14")


def test_names_and_units_are_those_of_cf():
    ds = at_one_point(3, 4, 0, -8).assign_attrs(title="t").assign_coords(point_id=("point", ["p"]))
    found = wind(ds, 100)
    assert set(found.data_vars) == {"wind_speed", "wind_from_direction"}
    assert {v.attrs["standard_name"]: v.attrs["units"] for v in found.data_vars.values()} == {
        "wind_speed": "m s-1",
        "wind_from_direction": "degree",
    }
    assert found.wind_speed.attrs["long_name"] == "wind speed at 100 m"
    assert found.wind_speed.attrs["grid_mapping"] == "crs"
    assert found.wind_speed.dtype == found.wind_from_direction.dtype == np.float32
    assert (found.height.item(), found.height.attrs["units"]) == (100, "m")
    assert found.attrs == {"title": "t"}
    assert found.point_id.values.tolist() == ["p"]
    assert set(NAMES) <= set(CATALOG)


@pytest.fixture(params=[None, {}], ids=["lazy", "dask"])
def counted(request, tmp_path) -> tuple[xr.Dataset, CountingStore, xr.Dataset]:
    """Four days of hourly runs, in one chunk for each day and point."""
    made = forecasts(range(24), range(3), n_days=4, selectors={name: str(CATALOG[name].selector) for name in NAMES})
    encoding: dict[str, Any] = {name: {"chunks": (24, 3, 1)} for name in NAMES}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    opened = xr.open_zarr(store, chunks=request.param, consolidated=False, decode_timedelta=True)
    store.take()
    return opened, store, made


def test_wind_reads_nothing_at_first_and_then_the_components_of_the_point_once(counted):
    ds, store, made = counted
    found = wind(ds, 80)
    assert store.take() == []
    day = found.isel(point=1).sel(init_time="2024-07-02")[["wind_speed", "wind_from_direction"]]
    assert store.take() == []
    read = day.drop_vars(set(day.coords) - {"init_time", "lead_time"}).compute()
    assert sorted(store.take()) == [f"{name}/c/1/0/1" for name in NAMES[2:]]
    u, v = (made[name].values[24:48, :, 1] for name in NAMES[2:])
    np.testing.assert_allclose(read.wind_speed.values, np.sqrt(u.astype(float) ** 2 + v.astype(float) ** 2), rtol=1e-6)
    _ = wind(ds, 100).wind_speed.isel(point=2, init_time=0).values
    assert sorted(store.take()) == sorted(f"{name}/c/0/0/2" for name in NAMES)


def test_wind_of_any_selection_is_the_selection_of_the_wind(counted):
    ds, _, made = counted
    whole, lazy = wind(made, 100).wind_speed.values, wind(ds, 100).wind_speed
    assert (lazy.chunks is None) == (ds[NAMES[0]].chunks is None)
    np.testing.assert_array_equal(lazy[0], whole[0])
    np.testing.assert_array_equal(lazy[-1, ..., 1], whole[-1, ..., 1])
    np.testing.assert_array_equal(lazy[::-2], whole[::-2])
    np.testing.assert_array_equal(lazy[[3, 0, 3], ..., [2, 1]], whole[[3, 0, 3]][..., [2, 1]])
    np.testing.assert_array_equal(lazy[0:0], whole[0:0])
    np.testing.assert_array_equal(lazy.transpose("point", ...), np.moveaxis(whole, -1, 0))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(wind(ds, 100))).wind_speed, whole)
    best = wind(best_estimate(ds), 100).compute()
    xr.testing.assert_allclose(best.wind_speed, best_estimate(wind(ds, 100)).wind_speed.compute())
    xr.testing.assert_identical(ds.hrrr.wind(100).compute(), wind(ds, 100).compute())


def test_two_threads_may_read_different_parts(counted):
    from concurrent.futures import ThreadPoolExecutor

    ds, _, made = counted
    found, whole = wind(ds, 100), wind(made, 100).compute()
    jobs = [(name, k) for k in range(96) for name in ("wind_speed", "wind_from_direction")]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda job: found[job[0]].isel(init_time=job[1]).values, jobs))
    for (name, k), values in zip(jobs, read, strict=True):
        np.testing.assert_array_equal(values, whole[name].values[k])
