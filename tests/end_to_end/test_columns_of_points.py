"""Columns of points and the surface of their cells, from a points file to a dataset and to netCDF."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import needs
from support.oracle import content_digests, object_digests, without_dask
from support.specs import race_write

import hrrr_dask
from hrrr_dask.audit.checksums import verify_checksums
from hrrr_dask.audit.verify import verify
from hrrr_dask.errors import ConfigError, PointsError, UnreachableError
from hrrr_dask.job import backfill as backfill_module
from hrrr_dask.job import probe
from hrrr_dask.store.template import ROOT_KEY
from hrrr_dask.testing import GridWindow, expected_field, write_archive

WINDOW = GridWindow(0, 0, 60, 60)
"""The corner of the grid, part of which is sea."""
INIT = datetime(2024, 1, 1)
CELLS = [(2, 3), (15, 50), (40, 41), (50, 59)]
KNOWN = {
    "hub_height": [80.0, 82.5],
    "turbines": [12, 7],
    "region": ["north", "Süd"],
    "offshore": [True, False],
}
TYPES = {"hub_height": "f", "turbines": "i", "region": "T", "offshore": "b"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("columns")
    inits = [INIT, INIT.replace(hour=12)]
    return write_archive(root, init_times=inits, lead_hours=[0, 1], variables=["temperature_2m"], window=WINDOW)


def places(*which, **columns):
    latitude, longitude = WINDOW.latlon(*np.array([CELLS[k] for k in which], dtype=float).T)
    ids = [f"p{k}" for k in which]
    return pd.DataFrame({"point_id": ids, "latitude": latitude, "longitude": longitude, **columns})


@pytest.fixture
def fill(archive, tmp_path):
    def one(points, name="x.zarr", end="2024-01-01T12", **settings):
        wanted = {"cycles": [0, 12], "lead_hours": [0, 1], "variables": ["temperature_2m"], "partition_days": 1}
        wanted |= {"source": [str(archive.root)]} | settings
        with without_dask() as client:
            return hrrr_dask.backfill(points, INIT, end, str(tmp_path / name), client=client, **wanted)

    return one


@pytest.fixture
def add(archive, tmp_path):
    def one(points, name="x.zarr"):
        with without_dask() as client:
            return hrrr_dask.add_points(tmp_path / name, points, client=client, source=[str(archive.root)])

    return one


def surface(which, name):
    field = expected_field(name, INIT, 0, WINDOW)
    return [field[CELLS[k]] for k in which]


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_columns_go_from_csv_to_a_dataset_with_their_types(fill, tmp_path, method):
    places(0, 1, **KNOWN).rename(columns={"hub_height": "Hub height (m)"}).to_csv(tmp_path / "x.csv", index=False)
    fill(tmp_path / "x.csv", method=method)
    for found in (hrrr_dask.open_dataset(str(tmp_path / "x.zarr")), xr.open_zarr(str(tmp_path / "x.zarr"))):
        names = {"hub_height": "Hub_height_m"}
        for name, values in KNOWN.items():
            column = found.coords[names.get(name, name)]
            assert (column.dims, column.dtype.kind in (TYPES[name], "O"), column.values.tolist()) == (
                ("point",),
                True,
                values,
            )
        assert found.Hub_height_m.attrs == {"long_name": "Hub height (m)"}
        assert found.cell_elevation.values.tolist() == surface((0, 1), "hgt_surface")
        assert found.cell_is_land.values.tolist() == surface((0, 1), "land_surface") == [0, 1]
        assert found.cell_elevation.attrs["units"] == "m"
        assert set(found.temperature_2m.coords) >= {*KNOWN, "cell_elevation", "cell_is_land"} - {"hub_height"}


def test_points_added_later_have_the_columns_or_no_value(fill, add, tmp_path):
    fill(places(0, 1, **KNOWN))
    before = hrrr_dask.open_dataset(str(tmp_path / "x.zarr"))
    add(places(2))
    add(places(1, 3, turbines=[7, 5], region=["Süd", "east"], capacity=[1.5, 2.5]))
    found = hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).load()
    assert found.region.values.tolist() == ["north", "Süd", "", "east"]
    for name, values in {
        "hub_height": [80, 82.5, np.nan, np.nan],
        "turbines": [12, 7, np.nan, 5],
        "offshore": [1, 0, np.nan, np.nan],
        "capacity": [np.nan, np.nan, np.nan, 2.5],
    }.items():
        assert np.array_equal(found[name], values, equal_nan=True), name
    assert found.cell_elevation.values.tolist() == surface(range(4), "hgt_surface")
    assert found.cell_is_land.values.tolist() == [0, 1, 1, 1]
    for name, values in KNOWN.items():  # with the metadata of before, as a reader in between has it
        assert before[name].values.tolist() == values
    assert found.temperature_2m.notnull().all()


def test_stores_with_columns_verify_and_go_on(fill, add, archive, tmp_path):
    store = str(tmp_path / "x.zarr")
    fill(places(0, 1, **KNOWN), end="2024-01-01T00")
    fill(None)
    add(places(2, turbines=[3]))
    assert fill(places(0, 1, **KNOWN)).files_read == 0
    assert verify(store, source=[str(archive.root)]).differences == ()
    assert verify_checksums(store).differences == ()
    assert hrrr_dask.open_dataset(store).turbines.values.tolist() == [12, 7, 3]


def test_a_store_without_columns_has_the_values_of_one_with(fill, tmp_path):
    fill(places(0, 1, **KNOWN))
    fill(places(0, 1), "plain.zarr")
    plain = hrrr_dask.open_dataset(str(tmp_path / "plain.zarr"))
    assert plain.identical(hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).drop_vars(KNOWN))


def test_a_store_of_an_earlier_version_grows_and_its_new_points_bring_columns(
    fill, add, archive, tmp_path, monkeypatch
):
    describe = backfill_module.open_or_describe

    def without_surface(request):
        store = describe(request)
        store.spec = replace(store.spec, surface=None)
        return store

    with monkeypatch.context() as patch:
        patch.setattr(backfill_module, "open_or_describe", without_surface)
        fill(places(0, 1), end="2024-01-01T00")
    (step,) = (tmp_path / "x.zarr" / ".hrrr" / "growth").iterdir()
    assert set(json.loads(step.read_text())["points"]) == {"point_id", "name", "latitude", "longitude"}
    fill(None)
    add(places(2))
    names = set(hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).coords)
    assert not names & {*KNOWN, "cell_elevation", "cell_is_land"}
    add(places(3, turbines=[4]))
    found = hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).load()
    assert set(found.coords) == names | {"turbines"}
    assert np.array_equal(found.turbines, [np.nan, np.nan, np.nan, 4], equal_nan=True)
    assert verify(str(tmp_path / "x.zarr"), source=[str(archive.root)]).differences == ()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("key", ["turbines/zarr.json", "turbines/c/0", "cell_is_land/c/0", ROOT_KEY])
def test_a_killed_creation_is_completed_by_the_next_command(fill, tmp_path, monkeypatch, key):
    def die():
        raise Killed

    with monkeypatch.context() as patch:
        happened = race_write(patch, "put_new", die, lambda written: written == key)
        with pytest.raises(Killed):
            fill(places(0, 1, **KNOWN))
        assert happened == [key]
    fill(places(0, 1))
    fill(places(0, 1, **KNOWN), "whole.zarr")
    assert content_digests(tmp_path / "x.zarr") == content_digests(tmp_path / "whole.zarr")


def test_other_values_of_a_known_point_are_left_out_with_a_warning(fill, add, tmp_path, caplog):
    fill(places(0, 1, **KNOWN))
    before = object_digests(tmp_path / "x.zarr")
    caplog.clear()
    add(places(0, 1, turbines=[13, 8], capacity=[1, 2]))
    assert object_digests(tmp_path / "x.zarr") == before
    assert [record.getMessage() for record in caplog.records if record.name == "hrrr_dask"] == [
        "column turbines: p0 and 1 more keep what is in the store, 12 for p0, where the points have 13; "
        "columns are stored with new points only",
        "column capacity: p0 and 1 more keep what is in the store, no value for p0, where the points have 1; "
        "columns are stored with new points only",
    ]
    caplog.clear()
    fill(places(0, 1, **KNOWN))
    assert not [record for record in caplog.records if record.name == "hrrr_dask"]


def test_names_and_types_that_do_not_go_with_the_store_are_refused(fill, add, tmp_path):
    with pytest.raises(PointsError, match=r"found 'temperature_2m', which is a variable of the store; rename"):
        fill(places(0, temperature_2m=[1]))
    assert not (tmp_path / "x.zarr").exists()
    fill(places(0, 1, **KNOWN))
    before = object_digests(tmp_path / "x.zarr")
    with pytest.raises(PointsError, match=r"found 'temperature_2m', which is a variable of the store; rename"):
        add(places(2, temperature_2m=[1]))
    with pytest.raises(PointsError, match=r"column 'turbines': wanted whole numbers, as the store has them \(int64\)"):
        add(places(2, turbines=["many"]))
    with pytest.raises(ConfigError, match=r"has a column of points turbines: give the variable another name"):
        hrrr_dask.add_variables(tmp_path / "x.zarr", "turbines=TMP:surface")
    assert object_digests(tmp_path / "x.zarr") == before


def test_points_at_sea_or_too_high_are_named_at_creation_when_added_and_in_status(fill, add, tmp_path, caplog):
    fill(places(0, 1, elevation=[0, 1000]))
    water = "1 point whose nearest cell is water (LAND:surface is 0): p0"
    cell = surface([1], "hgt_surface")[0]
    far = (
        "1 point whose nearest cell is more than 200 m higher or lower than their elevation: "
        f"p1 (1,000 m, its cell {cell:,.0f} m)"
    )
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert messages == [f"{line}; check their coordinates" for line in (water, far)]
    caplog.clear()
    add(places(2, elevation=[3000]))
    (message,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert "p2 (3,000 m" in message
    status = hrrr_dask.status(str(tmp_path / "x.zarr"))
    assert status.odd_cells[0] == water
    assert "2 points whose" in status.odd_cells[1]
    assert water in repr(status)
    caplog.clear()
    fill(None)
    assert not [record for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("lacks", ["message", "inventory", "archive"])
def test_an_unknown_surface_fails_nothing(fill, tmp_path, monkeypatch, lacks):
    own = write_archive(
        tmp_path / "own",
        init_times=[INIT],
        lead_hours=[0, 1],
        variables=["temperature_2m"],
        decoys=lacks != "message",
        inventories=lacks != "inventory",
        window=WINDOW,
    )

    def fail(*arguments):
        raise UnreachableError("the source does not respond")

    with monkeypatch.context() as patch:
        if lacks == "archive":
            patch.setattr(probe, "read_messages", fail)
        report = fill(places(0, 1), end="2024-01-01T00", source=[str(own.root)])
    assert report.outcome == "done"
    found = hrrr_dask.open_dataset(str(tmp_path / "x.zarr"))
    known = lacks == "inventory"
    for name in ("cell_elevation", "cell_is_land"):
        assert (found[name].notnull() == known).all()
    water = "1 point whose nearest cell is water (LAND:surface is 0): p0"
    assert hrrr_dask.status(str(tmp_path / "x.zarr")).odd_cells == ((water,) if known else ())


@pytest.mark.parametrize("by", ["backfill", "add_points"])
def test_a_surface_that_could_not_be_read_is_read_by_the_next_command_that_reads_files(
    fill, add, tmp_path, monkeypatch, caplog, by
):
    def fail(*arguments):
        raise UnreachableError("the source does not respond")

    with monkeypatch.context() as patch:
        patch.setattr(probe, "read_messages", fail)
        fill(places(0, 1), end="2024-01-01T00")
    assert hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).cell_elevation.isnull().all()
    caplog.clear()
    fill(None) if by == "backfill" else add(places(2))
    points = (0, 1) if by == "backfill" else (0, 1, 2)
    water = "1 point whose nearest cell is water (LAND:surface is 0): p0"
    assert f"{water}; check their coordinates" in [record.getMessage() for record in caplog.records]
    for command in (lambda: None, lambda: fill(None), lambda: add(places(0, 3))):  # and later ones keep it
        command()
        found = hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).isel(point=slice(len(points)))
        assert found.cell_elevation.values.tolist() == surface(points, "hgt_surface")
        assert found.cell_is_land.values.tolist() == surface(points, "land_surface")
        assert hrrr_dask.status(str(tmp_path / "x.zarr")).odd_cells == (water,)
        assert verify_checksums(str(tmp_path / "x.zarr")).differences == ()


def test_a_known_surface_is_not_read_again(fill, tmp_path, monkeypatch):
    fill(places(0, 1), end="2024-01-01T00")
    monkeypatch.setattr(probe, "read_messages", lambda *_: pytest.fail("it was read again"))
    assert fill(None).files_read


def test_a_subhourly_store_has_elevations_and_an_unknown_land_mask(fill, tmp_path):
    own = write_archive(
        tmp_path / "own",
        init_times=[INIT],
        lead_hours=[0, 1],
        variables=["temperature_2m"],
        window=WINDOW,
        product="subh",
    )
    fill(places(0, 1), end="2024-01-01T00", source=[str(own.root)], product="subh")
    found = hrrr_dask.open_dataset(str(tmp_path / "x.zarr"))
    assert found.cell_elevation.values.tolist() == surface((0, 1), "hgt_surface")
    assert found.cell_is_land.isnull().all()


def test_netcdf_files_have_the_columns(fill, add, tmp_path):
    needs.extra("netCDF4")
    fill(places(0, 1, **KNOWN))
    hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).hrrr.to_netcdf(tmp_path / "x.nc")
    with xr.open_dataset(tmp_path / "x.nc") as found:
        assert {name: found.coords[name].values.tolist() for name in KNOWN} == KNOWN
        assert found.offshore.dtype == bool
        assert found.cell_is_land.values.tolist() == [0, 1]
    add(places(2))
    hrrr_dask.open_dataset(str(tmp_path / "x.zarr")).hrrr.to_netcdf(tmp_path / "y.nc")
    with xr.open_dataset(tmp_path / "y.nc") as found:
        assert np.array_equal(found.turbines, [12, 7, np.nan], equal_nan=True)
        assert found.region.values.tolist() == ["north", "Süd", ""]
