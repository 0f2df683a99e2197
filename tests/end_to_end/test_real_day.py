"""One day of NOAA's own files, from the command line to the last bit; and NOAA's messages through both engines."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from support import needs
from support.oracle import (
    as_bits,
    ledger_keys,
    nearest_cells,
    object_digests,
    read_fields,
    run_cli,
    values_at_points,
    write_points,
)
from support.paths import SHARED_DATA

import hrrr_dask
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.decode import get_engine
from hrrr_dask.grib.sections import read_header
from hrrr_dask.grid.definition import find_nearest_cells, read_grid
from hrrr_dask.ledger.ledger import to_dataframe

pytestmark = needs.real_bytes

POINTS = [
    (43.2157, -116.5539),
    (42.9893, -116.0937),
    (43.3752, -116.5293),
    (43.4918, -116.4201),
    (43.3, 243.62),
    (41.8816, -116.9295),  # the window's corner cells
    (42.0992, -115.5112),
    (43.9046, -117.5306),
    (44.1282, -116.0711),
    (43.2157, -116.5539 + 0.017),  # in the same cell as the first, or in its neighbour
]
EIGHTY = ["u_component_wind_80m", "v_component_wind_80m"]
WINDS = ["u_component_wind_10m", "v_component_wind_10m"]
DAY = {"start": "2018-07-22", "end": "2018-07-22", "lead_hours": 1, "axis_start": "2018-07-22"}


def archive_file(hour):
    return SHARED_DATA / f"archive/hrrr.20180722/conus/hrrr.t{hour:02}z.wrfsfcf01.grib2"


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """The day's store, the output of the command, and its output when it runs again."""
    root = tmp_path_factory.mktemp("day")
    request = dict(source=SHARED_DATA / "archive", points=write_points(root / "points.csv", POINTS), **DAY)
    store = root / "day.zarr"
    first = run_cli("backfill", store=store, json=True, workers=2, **request)
    before = object_digests(store, ledger=True)
    second = run_cli("backfill", store=store, json=True, workers=2, **request)
    return store, first, second, before


@pytest.fixture(scope="module")
def dataset(day):
    with xr.open_zarr(str(day[0])) as opened:
        yield opened.load()


@pytest.fixture(scope="module")
def client():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        yield client


def test_the_command_ends_with_3_and_names_the_gaps(day):
    _, (code, report, stderr), _, _ = day
    assert code == 3, stderr
    assert report["outcome"] == "done-with-gaps"
    assert (report["files_wanted"], report["files_read"]) == (24, 24)
    assert report["gaps"] == {"message-not-found": 48}
    assert report["gaps_by_variable"] == dict.fromkeys(EIGHTY, 24)
    assert "Traceback" not in stderr


def test_every_value_of_the_day_equals_eccodes_at_the_brute_force_nearest_cell(dataset):
    assert dict(dataset.sizes) == {"init_time": 24, "lead_time": 1, "point": len(POINTS)}
    compared = 0
    for hour in range(24):
        wanted = values_at_points(archive_file(hour), POINTS, 1)
        assert len(wanted) == 9
        for name, values in wanted.items():
            found = dataset[name].sel(init_time=f"2018-07-22T{hour:02}").to_numpy()[0]
            if name in WINDS:
                np.testing.assert_allclose(found, values, rtol=0, atol=1e-5)
            else:
                assert np.array_equal(as_bits(found), as_bits(values)), (name, hour)
            compared += np.isfinite(found).sum()
    assert compared == 24 * 9 * len(POINTS)


def test_what_the_files_lack_is_missing_and_the_ledger_says_why(day, dataset):
    for name in EIGHTY:
        assert np.isnan(dataset[name]).all()
    rows = to_dataframe(str(day[0]))
    assert len(rows) == 24 * 11
    gaps = rows[rows.outcome != "complete"]
    assert set(gaps.variable) == set(EIGHTY)
    assert set(gaps.outcome) == {"message-not-found"}
    assert gaps.detail.str.contains("80 m above ground").all()
    meanings = dict(zip(dataset.status.flag_meanings.split(), dataset.status.flag_values, strict=True))
    assert (dataset.status == meanings["message-not-found"]).all()


def test_the_same_command_again_reads_and_writes_nothing(day):
    store, _, (code, report, _), before = day
    assert code == 3
    assert (report["files_read"], report["requests"], report["bytes_read"], report["bytes_written"]) == (0, 0, 0, 0)
    assert report["files_done_before"] == 24
    assert report["gaps"] == {"message-not-found": 48}
    assert object_digests(store, ledger=True) == before
    assert len(ledger_keys(store)) == 1


def test_the_store_opens_with_plain_xarray_and_without_a_warning(day):
    check = "import sys, xarray; d = xarray.open_zarr(sys.argv[1]).load(); print(dict(d.sizes))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", check, str(day[0])], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_store_describes_itself_as_cf_asks(dataset):
    assert dataset.attrs["Conventions"].startswith("CF-1.")
    assert dataset.attrs["featureType"] == "timeSeries"
    assert dataset.point_id.attrs["cf_role"] == "timeseries_id"
    assert dataset.temperature_2m.attrs["standard_name"] == "air_temperature"
    assert dataset.temperature_2m.attrs["units"] == "K"
    assert dataset.u_component_wind_10m.attrs["standard_name"] == "eastward_wind"
    assert dataset.init_time.attrs["standard_name"] == "forecast_reference_time"
    assert dataset.lead_time.attrs["standard_name"] == "forecast_period"
    assert dataset.crs.attrs["grid_mapping_name"] == "lambert_conformal_conic"
    assert set(dataset.data_vars) == set(DEFAULT_VARIABLES)
    for name in dataset.data_vars:
        assert dataset[name].dtype == np.float32
        assert dataset[name].dims == ("init_time", "lead_time", "point")
        assert {"units", "long_name", "cell_methods"} <= set(dataset[name].attrs), name
        assert (dataset[name].attrs | dataset[name].encoding)["grid_mapping"] == "crs"


def test_times_and_places_of_the_store_are_right(dataset):
    assert (dataset.valid_time == dataset.init_time + dataset.lead_time).all()
    assert dataset.init_time[0] == np.datetime64("2018-07-22T00")
    assert dataset.lead_time.to_numpy().tolist() == [3600 * 10**9]
    field = read_fields(archive_file(0))[0]
    cells = nearest_cells(field.latitude, field.longitude, POINTS)
    assert np.array_equal(dataset.cell_y * 41 + dataset.cell_x, cells)
    np.testing.assert_allclose(dataset.cell_latitude, field.latitude[cells], rtol=0, atol=1e-6)
    np.testing.assert_allclose(dataset.cell_longitude % 360, field.longitude[cells] % 360, rtol=0, atol=1e-6)
    assert float(dataset.cell_distance.max()) < 3000 / 2**0.5 * 1.02
    assert dataset.longitude[4] == pytest.approx(243.62 - 360)
    assert list(dataset.point_id.to_numpy()) == [f"p{k}" for k in range(len(POINTS))]


def test_the_cfgrib_engine_gives_the_same_bits(day, dataset, client, tmp_path):
    request = DAY | {"start": "2018-07-22T12", "end": "2018-07-22T13", "lead_hours": "1"}
    points = write_points(tmp_path / "points.csv", POINTS)
    source = [str(SHARED_DATA / "archive")]
    report = hrrr_dask.backfill(
        points, **request, store=str(tmp_path / "x.zarr"), client=client, engine="cfgrib", source=source
    )
    assert report.gaps == {"message-not-found": 4}
    with xr.open_zarr(tmp_path / "x.zarr") as other:
        for name in dataset.data_vars:
            found = other[name].sel(init_time=["2018-07-22T12", "2018-07-22T13"])
            wanted = dataset[name].sel(init_time=["2018-07-22T12", "2018-07-22T13"])
            assert np.array_equal(as_bits(found), as_bits(wanted)), name


# Single messages of the whole grid

MESSAGES = sorted(path.name for path in SHARED_DATA.glob("messages/*.grib2"))


@pytest.mark.parametrize("engine", ["eccodes", "cfgrib"])
@pytest.mark.parametrize("name", MESSAGES)
def test_an_engine_gives_what_eccodes_gives_at_random_cells(name, engine):
    rng = np.random.default_rng(7)
    for field in read_fields(SHARED_DATA / "messages" / name):
        cells = np.concatenate([[0, field.values.size - 1], rng.integers(0, field.values.size, 500)])
        missing = np.flatnonzero(np.isnan(field.values))
        assert len(missing) == (8 if "bitmap" in name else 0)
        cells = np.concatenate([cells, missing])
        found = get_engine(engine).points(field.message, cells)
        assert found.dtype == np.float32
        assert np.array_equal(np.isnan(found), np.isnan(field.values[cells]))
        there = ~np.isnan(found)
        assert np.array_equal(as_bits(found[there]), as_bits(field.values[cells][there]))


def test_a_constant_field_is_accepted():
    message = (SHARED_DATA / "messages/hrrr.20230722.t06z.wrfsfcf01.CFRZR-surface.grib2").read_bytes()
    assert len(message) == 188
    assert (get_engine("eccodes").points(message, np.arange(0, 1799 * 1059, 1000)) == 0).all()


def test_points_on_the_alaska_grid_get_the_brute_force_nearest_cell():
    (field,) = read_fields(SHARED_DATA / "messages/hrrr.20240101.t00z.wrfsfcf00.ak.REFC.grib2")
    rng = np.random.default_rng(3)
    inside = rng.integers(0, field.values.size, 60)
    latitude = field.latitude[inside] + rng.uniform(-0.005, 0.005, 60)
    longitude = field.longitude[inside] + rng.uniform(-0.01, 0.01, 60)
    towns = np.array([(61.2181, -149.9003), (64.8378, -147.7164), (58.3019, -134.4197), (71.2906, -156.7886)])
    latitude, longitude = np.append(latitude, towns[:, 0]), np.append(longitude, towns[:, 1])
    cells = find_nearest_cells(read_grid(read_header(field.message).grid_section), latitude, longitude)
    wanted = nearest_cells(field.latitude, field.longitude, np.column_stack([latitude, longitude]))
    assert np.array_equal(cells.index.ravel(), wanted)


def test_a_selector_takes_the_right_one_of_two_windows(client, tmp_path):
    """NOAA's own messages laid out as an archive, with a stray byte between them, as found."""
    name = "hrrr.20201214.t00z.wrfsfcf12.APCP-two-windows.grib2"
    place = tmp_path / "archive/hrrr.20201214/conus/hrrr.t00z.wrfsfcf12.grib2"
    place.parent.mkdir(parents=True)
    shutil.copy(SHARED_DATA / "messages" / name, place)
    towns = [(29.95, -90.07), (40.71, -74.01), (47.61, -122.33)]
    fields = {field.step: field for field in read_fields(place)}
    wet = int(np.nanargmax(fields["11-12"].values))
    towns.append((float(fields["11-12"].latitude[wet]), float(fields["11-12"].longitude[wet])))
    hrrr_dask.backfill(
        write_points(tmp_path / "points.csv", towns),
        datetime(2020, 12, 14),
        datetime(2020, 12, 14),
        str(tmp_path / "x.zarr"),
        client=client,
        source=[str(tmp_path / "archive")],
        cycles=[0],
        lead_hours=[12],
        axis_start="2020-12-14",
        variables=["run=APCP:surface:run acc", "precipitation_1h"],
    )
    cells = nearest_cells(fields["0-12"].latitude, fields["0-12"].longitude, towns)
    with xr.open_zarr(tmp_path / "x.zarr") as found:
        assert np.array_equal(as_bits(found.run[0, 0]), as_bits(fields["0-12"].values[cells]))
        assert np.array_equal(as_bits(found.precipitation_1h[0, 0]), as_bits(fields["11-12"].values[cells]))
        assert float(found.precipitation_1h[0, 0, 3]) > 0


def test_a_truncated_download_is_a_gap_that_names_the_bytes(client, tmp_path):
    place = tmp_path / "archive/hrrr.20230914/conus/hrrr.t11z.wrfsfcf12.grib2"
    place.parent.mkdir(parents=True)
    shutil.copy(SHARED_DATA / "broken/hrrr.20230914.t11z.wrfsfcf12.first-2MiB.grib2", place)
    report = hrrr_dask.backfill(
        write_points(tmp_path / "points.csv", [(40.0, -100.0)]),
        "2023-09-14T11",
        "2023-09-14T11",
        str(tmp_path / "x.zarr"),
        client=client,
        source=[str(tmp_path / "archive")],
        lead_hours=[12],
        axis_start="2023-09-14",
        variables=["composite_reflectivity", "temperature_2m"],
    )
    assert report.gaps == {"truncated": 2}
    assert report.exit_code == 3
    detail = to_dataframe(str(tmp_path / "x.zarr")).detail.iloc[0]
    assert "2,097,152" in detail
    assert "cut off" in detail
    with xr.open_zarr(tmp_path / "x.zarr") as found:
        assert np.isnan(found.composite_reflectivity[11]).all()
