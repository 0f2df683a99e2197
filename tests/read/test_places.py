"""The points nearest to a place: against pyproj, and with the requests counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from support import needs
from support.forecasts import SELECTORS, CountingStore, forecasts
from zarr.storage import LocalStore

from hrrr_dask.errors import PointsError
from hrrr_dask.read import accessor  # noqa: F401  gives datasets their accessor
from hrrr_dask.read.forecasts import fixed_lead
from hrrr_dask.read.places import EARTH_RADIUS_M, nearest


def scattered(seed: int = 0, n_points: int = 9) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    latitude, longitude = rng.uniform(21, 53, n_points), rng.uniform(-134, -61, n_points)
    ds = forecasts(n_points=n_points, n_days=1)
    return ds.assign_coords(latitude=("point", latitude), longitude=("point", longitude))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.floats(-90, 90), st.floats(-180, 360), st.integers(1, 9))
def test_the_nearest_points_are_those_of_a_sphere_in_ascending_order(seed, latitude, longitude, n):
    needs.extra("pyproj")
    from pyproj import Geod

    ds = scattered(seed)
    found = nearest(ds, latitude, longitude, n)
    sphere = Geod(a=EARTH_RADIUS_M, f=0)
    distances = {
        str(ds.point_id.values[k]): sphere.inv(longitude, latitude, ds.longitude.values[k], ds.latitude.values[k])[2]
        for k in range(9)
    }
    assert found.point_id.values.tolist() == sorted(distances, key=distances.__getitem__)[:n]
    assert found.distance.values == pytest.approx(sorted(distances.values())[:n], abs=0.01)


def test_the_result_is_a_selection_with_the_distance():
    ds = scattered()
    ds = ds.set_xindex("point_id")
    found = nearest(ds, ds.latitude.values[4], ds.longitude.values[4] + 360)
    assert found.temperature_2m.dims == ("init_time", "lead_time", "point")
    assert (found.distance.dims, found.distance.attrs["units"]) == (("point",), "m")
    assert found.distance.values == pytest.approx([0], abs=0.01)
    xr.testing.assert_identical(found.drop_vars("distance").load(), ds.isel(point=[4]))
    assert found.temperature_2m.sel(point_id="p4").shape == (4, 7)
    series = nearest(fixed_lead(ds, 6), 40, -100, 3)
    xr.testing.assert_identical(series.compute(), fixed_lead(nearest(ds, 40, -100, 3), 6).compute())
    xr.testing.assert_identical(ds.hrrr.nearest(40, -100, 2), nearest(ds, 40, -100, 2))


def test_of_points_at_the_same_distance_the_first_stored_is_first():
    ds = scattered(n_points=3).assign_coords(latitude=("point", [40.0, 41, 40]), longitude=("point", [-100.0] * 3))
    assert nearest(ds, 40, -100, 3).point_id.values.tolist() == ["p0", "p2", "p1"]


def test_a_dataset_of_one_point_has_that_one():
    ds = scattered()
    found = nearest(ds.isel(point=4), 40, -100)
    assert found.temperature_2m.dims == ("init_time", "lead_time")
    assert found.distance.values == nearest(ds.isel(point=[4]), 40, -100).distance.values[0]


@pytest.mark.parametrize("place", [(-116.2, 43.6), (91, 0), (40, 361), (np.nan, 0), ("here", 0), (None, 0), ([40], 0)])
def test_what_is_not_a_place_is_refused(place):
    with pytest.raises(PointsError, match=r"is not a place: .* latitude first") as caught:
        nearest(scattered(), *place)
    assert str(place[0]) in str(caught.value)


@pytest.mark.parametrize("n", [0, 10, 1.5, None])
def test_what_is_not_a_number_of_points_is_refused(n):
    with pytest.raises(PointsError, match="is not a number of points from 1 to 9"):
        nearest(scattered(), 40, -100, n)


def test_without_coordinates_the_nearest_is_refused():
    with pytest.raises(PointsError, match="latitude and longitude of the points are needed"):
        nearest(scattered().drop_vars("longitude"), 40, -100)


@pytest.mark.parametrize("chunks", [None, {}], ids=["lazy", "dask"])
def test_only_the_places_are_read_and_then_the_chunks_of_the_point(chunks, tmp_path):
    made = scattered().drop_vars("point_id")
    encoding: dict[str, Any] = {name: {"chunks": (4, 7, 1)} for name in SELECTORS}
    made.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding=encoding)
    store = CountingStore(LocalStore(tmp_path / "s.zarr", read_only=True))
    ds = xr.open_zarr(store, chunks=chunks, consolidated=False, decode_timedelta=True)
    store.take()
    found = nearest(ds, made.latitude.values[6], made.longitude.values[6])
    assert sorted(store.take()) == ["latitude/c/0", "longitude/c/0"]
    np.testing.assert_array_equal(found.temperature_2m.values[..., 0], made.temperature_2m.values[..., 6])
    assert store.take() == ["temperature_2m/c/0/0/6"]
