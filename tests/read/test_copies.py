"""Copies and files are no stores for commands; what xarray's to_zarr makes of a dataset is read as what it holds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from support.specs import all_pieces, commit, make_points, make_spec, partition_outcomes

import hrrr_dask
from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.read.opening import open_dataset
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part in the Zarr format 3")


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """A store that was asked for from the second day on, the third of which is read."""
    made = Store(str(tmp_path_factory.mktemp("x") / "s.zarr"), {}, make_spec(asked_from=1)).make_or_grow(Growth())
    made.merge(1, all_pieces(1))
    commit(made, *partition_outcomes(1), partition=1)
    publish_status(made, 1)
    return made.url


@pytest.fixture(scope="module")
def copy(url, tmp_path_factory):
    path = tmp_path_factory.mktemp("x") / "copy.zarr"
    open_dataset(url).to_zarr(path)
    return str(path)


def test_a_copy_has_all_init_times_and_values(url, copy):
    there = open_dataset(copy)
    xr.testing.assert_identical(there.load(), open_dataset(url).load())
    assert there.sizes["init_time"] == 6
    assert np.isfinite(there.temperature_2m[2:]).all()
    np.testing.assert_array_equal(there.sel(point_id="p3").temperature_2m, there.temperature_2m[..., 3])


def test_the_accessor_works_on_a_copy(url, copy):
    for select in (lambda ds: ds.hrrr.best_estimate(), lambda ds: ds.hrrr.latest("2024-02-01"), by_valid_time):
        xr.testing.assert_identical(select(open_dataset(copy)).load(), select(open_dataset(url)).load())


def by_valid_time(ds):
    return ds.hrrr.by_valid_time(point="p3")


@pytest.mark.parametrize(
    "select",
    [
        lambda ds: ds.isel(init_time=slice(3, 5)),
        lambda ds: ds.isel(init_time=3),
        lambda ds: ds.sel(point_id=["p3", "p1"]),
        lambda ds: ds.sel(point_id="p3"),
        lambda ds: ds[["temperature_2m"]].drop_vars("point_id"),
        lambda ds: ds.hrrr.fixed_lead(1),
        lambda ds: xr.concat([ds, ds.assign_coords(init_time=ds.init_time + np.timedelta64(9, "D"))], "init_time"),
        lambda ds: xr.concat([ds, ds.isel(init_time=[0, 1])], "init_time"),  # as long as the axis of the store
    ],
)
def test_a_copy_of_a_selection_is_what_was_selected(url, tmp_path, select):
    wanted = select(open_dataset(url)).drop_encoding()
    wanted.to_zarr(tmp_path / "copy.zarr")
    found = open_dataset(str(tmp_path / "copy.zarr"))
    assert found.sizes == wanted.sizes
    for name, values in wanted.data_vars.items():
        xr.testing.assert_equal(found[name].variable.load(), values.variable.load())


def test_a_store_moved_without_its_ledger_is_read_as_the_store(url, tmp_path):
    shutil.copytree(url, tmp_path / "s", ignore=shutil.ignore_patterns(".hrrr"))
    xr.testing.assert_identical(open_dataset(str(tmp_path / "s")).load(), open_dataset(url).load())


COMMANDS = {
    "status": hrrr_dask.status,
    "compact": hrrr_dask.compact,
    "verify": hrrr_dask.verify,
    "verify checksums": hrrr_dask.verify_checksums,
    "quality": hrrr_dask.assess,
    "update": hrrr_dask.update,
    "plan": lambda url: hrrr_dask.plan(None, "2024-01-01", "2024-01-02", store=url),
    "backfill": lambda url: hrrr_dask.backfill(make_points([1]), "2024-01-01", "2024-01-02", url),
    "add points": lambda url: hrrr_dask.add_points(url, make_points([9])),
    "add variables": lambda url: hrrr_dask.add_variables(url, ["wind_gust_surface"]),
    "ledger": to_dataframe,
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_commands_say_that_a_copy_has_no_ledger(copy, command):
    before = sorted(Path(copy).rglob("*"))
    with pytest.raises(StoreMismatchError, match=r"copy\.zarr has no ledger \(.hrrr\).*; give the store itself"):
        command(copy)
    assert sorted(Path(copy).rglob("*")) == before


def test_a_store_without_any_entry_is_a_store(tmp_path):
    made = Store(str(tmp_path / "s.zarr"), {}, make_spec()).make_or_grow(Growth())
    assert hrrr_dask.status(made.url).files_to_do == 16
    assert to_dataframe(made.url).empty
    assert open_dataset(made.url).sizes["init_time"] == 8


@pytest.mark.parametrize("look", [open_dataset, *COMMANDS.values()], ids=["open_dataset", *COMMANDS])
def test_a_file_is_named_as_one(tmp_path, look):
    file = tmp_path / "README.md"
    file.write_text("# Not a store")
    with pytest.raises(StoreMismatchError, match=r"README\.md is a file, not a store: give the directory or URL of o"):
        look(str(file))
    assert file.read_text() == "# Not a store"
