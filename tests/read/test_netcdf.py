"""A part of a store as one netCDF file, which the checker of the CF conventions finds no error in."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import needs
from support.oracle import without_dask

import hrrr_dask
from hrrr_dask.testing import GridWindow, write_archive

needs.extra("netCDF4")

CHECKER = str(Path(sys.executable).with_name("compliance-checker"))
WINDOW = GridWindow(288, 794, 8, 10)
NAMES = ["temperature_2m", "u_component_wind_10m", "v_component_wind_10m", "precipitation_1h", "relative_humidity_2m"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    root = tmp_path_factory.mktemp("netcdf")
    archive = write_archive(
        root / "archive", init_times=[datetime(2024, 1, 1, 6)], lead_hours=[0, 1], variables=NAMES, window=WINDOW
    )
    latitude, longitude = WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))
    points = pd.DataFrame({"latitude": latitude, "longitude": longitude, "point_id": ["a", "ø"]})
    with without_dask() as client:
        wanted = {"cycles": [6], "lead_hours": [0, 1], "variables": NAMES, "source": [str(archive.root)]}
        hrrr_dask.backfill(points, "2024-01-01", "2024-01-01", str(root / "x.zarr"), client=client, **wanted)
    return str(root / "x.zarr")


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "x.nc"
    with hrrr_dask.open_dataset(store) as found:
        found.hrrr.to_netcdf(path)
    return path


def test_the_file_has_the_stores_values_and_times(store, exported):
    with hrrr_dask.open_dataset(store) as wanted, xr.open_dataset(exported) as found:
        for name, variable in wanted.variables.items():
            if variable.dtype.kind == "f":
                assert np.array_equal(found[name], variable, equal_nan=True), name
            else:
                assert (found[name].values.astype(variable.dtype) == variable.values).all(), name
        assert json.loads(found.attrs["hrrr_dask"])["lead_hours"] == [0, 1]


def test_the_dataset_that_was_written_is_as_it_was(store, tmp_path):
    with hrrr_dask.open_dataset(store) as found:
        before = found.copy(deep=True)
        found.hrrr.to_netcdf(tmp_path / "x.nc")
        xr.testing.assert_identical(found, before)
        assert found.status.attrs == before.status.attrs


def test_the_checker_of_the_cf_conventions_finds_no_error(exported, tmp_path):
    needs.extra("compliance_checker")
    report = tmp_path / "report.json"
    done = subprocess.run(
        [CHECKER, "-t", "cf:1.11", "-f", "json", "-o", str(report), str(exported)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert report.exists(), done.stderr
    (found,) = json.loads(report.read_text()).values()
    assert [result["msgs"] for result in found["high_priorities"] if result["msgs"]] == []


def test_plain_xarray_opens_the_store_without_an_option_or_a_warning(store):
    code = "import sys, xarray; print(len(xarray.open_zarr(sys.argv[1]).load().data_vars))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, store], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (str(len(NAMES)), "")
