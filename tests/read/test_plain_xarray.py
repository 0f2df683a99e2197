"""What people type on a dataset of `open_dataset` and of plain xarray works, on disk and on S3, without a warning.

pytest makes every warning an error.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from support import needs
from support.specs import NAMES, SPAN, all_pieces, commit, make_points, make_spec, partition_outcomes

import hrrr_dask
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.errors import ConfigError, StoreMismatchError
from hrrr_dask.ledger import to_dataframe
from hrrr_dask.objects.transactions import history
from hrrr_dask.read.opening import open_dataset
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.settings_attribute import SETTINGS
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from hrrr_dask.testing import loopback_s3

SPEC = make_spec(asked_from=1, n_days=6)
"""Five points in chunks of 2 and 12 runs in partitions of 4; coordinates are stored in larger chunks."""

OPENERS: dict[str, Callable[..., xr.Dataset]] = {"open_dataset": open_dataset, "open_zarr": xr.open_zarr}


def filled(url: str) -> str:
    """A store whose second partition was read; the first day was not asked for."""
    made = Store(url, {}, SPEC).make_or_grow(Growth())
    made.merge(1, all_pieces(1))
    commit(made, *partition_outcomes(1), partition=1)
    publish_status(made, 1)
    return url


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory) -> str:
    return filled(str(tmp_path_factory.mktemp("x") / "s.zarr"))


@pytest.fixture(scope="module")
def on_s3() -> Iterator[str]:
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.create_bucket("out")
        yield filled("s3://out/some/prefix/s.zarr")


@pytest.fixture(scope="module", params=["disk", "S3"])
def url(request) -> str:
    return str(request.getfixturevalue({"disk": "on_disk", "S3": "on_s3"}[request.param]))


@pytest.fixture(params=OPENERS.values(), ids=OPENERS)
def opened(request, url) -> Callable[..., xr.Dataset]:
    """Opens the store, with the options given."""
    return lambda **options: request.param(url, **options)


LAZY_AND_DASK = pytest.mark.parametrize("options", [{"chunks": None}, {"chunks": {}}], ids=["lazy", "dask"])


# --- netCDF ---


@LAZY_AND_DASK
@pytest.mark.parametrize(("engine", "module"), [("h5netcdf", "h5netcdf"), ("netcdf4", "netCDF4"), ("scipy", "scipy")])
def test_a_dataset_is_written_as_netcdf(opened, options, engine, module, tmp_path):
    needs.extra(module)
    wanted = opened(**options)
    if engine == "scipy":  # netCDF 3 has no integers of 64 bits, which moments in seconds need after 2038
        wanted = wanted.drop_vars("available_at")
    wanted.to_netcdf(tmp_path / "x.nc", engine=engine)
    with xr.open_dataset(tmp_path / "x.nc", engine=engine) as found:
        assert json.loads(found.attrs[SETTINGS])["n_days"] == 6
        for name in NAMES:
            np.testing.assert_array_equal(found[name], wanted[name])
            assert found[name].attrs["units"] == wanted[name].attrs["units"]
        np.testing.assert_array_equal(found.valid_time, wanted.valid_time)
        assert found.point_id.to_numpy().astype(str).tolist() == ["p0", "p1", "p2", "p3", "p4"]


# --- paths ---


TAKES_A_STORE: dict[str, Callable[[Any], object]] = {
    "open_dataset": open_dataset,
    "status": hrrr_dask.status,
    "status gaps": lambda store: hrrr_dask.status(store, gaps=True),
    "compact": hrrr_dask.compact,
    "verify": hrrr_dask.verify,
    "verify checksums": hrrr_dask.verify_checksums,
    "quality": hrrr_dask.assess,
    "ledger": to_dataframe,
    "plan": lambda store: hrrr_dask.plan(None, "2024-01-01", "2024-01-02", store=store),
    "update": hrrr_dask.update,
    "backfill": lambda store: hrrr_dask.backfill(make_points([1]), "2024-01-01", "2024-01-02", store),
    "add points": lambda store: hrrr_dask.add_points(store, make_points([9])),
    "add variables": lambda store: hrrr_dask.add_variables(store, ["wind_gust_surface"]),
}


@pytest.mark.parametrize("take", TAKES_A_STORE.values(), ids=TAKES_A_STORE)
def test_every_function_that_takes_a_store_takes_a_path(tmp_path, take):
    """A path that holds no store is looked at, and refused as the same text is."""
    (tmp_path / "thesis.txt").write_text("mine")
    answers = []
    for place in (tmp_path, str(tmp_path)):
        with pytest.raises(StoreMismatchError) as error:
            take(place)
        answers.append(str(error.value))
    assert answers[0] == answers[1]


def test_a_path_gives_what_the_same_text_gives(on_disk):
    path = Path(on_disk)
    xr.testing.assert_identical(open_dataset(path).load(), open_dataset(on_disk).load())
    assert hrrr_dask.status(path) == hrrr_dask.status(on_disk)
    assert to_dataframe(path).equals(to_dataframe(on_disk))
    assert hrrr_dask.compact(path) == hrrr_dask.compact(on_disk)
    with pytest.raises(ConfigError, match="is a plain store and has no history"):
        history(path)
    plan = hrrr_dask.plan(None, "2024-01-01", "2024-01-02", store=path)
    assert plan.layout == SPEC.layout


def test_a_url_that_went_through_a_path_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"'s3:/out/s\.zarr' has one slash .* give the URL as a string"):
        open_dataset(Path("s3://out/s.zarr"))


# --- chunks ---


@pytest.mark.parametrize("chunks", ["auto", {}, {"init_time": "auto"}, {"init_time": 2 * SPAN, "point": -1}], ids=str)
def test_open_dataset_gives_coordinates_the_chunks_of_the_variables(url, chunks):
    ds = open_dataset(url, chunks=chunks)
    sizes = ds[NAMES[0]].chunksizes
    assert ds.chunksizes == sizes, "xarray refuses to name the chunks of a dataset that has several kinds"
    for name in ("valid_time", "status", "available_at", "name", "cell_distance"):
        assert ds[name].chunksizes == {dim: sizes[dim] for dim in ds[name].dims}, name
    xr.testing.assert_identical(ds.load(), open_dataset(url).load())


def test_auto_makes_chunks_of_whole_shards(url):
    ds = open_dataset(url, chunks="auto")
    assert ds[NAMES[0]].data.npartitions == 1, "all is less than Dask's array.chunk-size"


@pytest.mark.parametrize("chunks", [{"init_time": "auto"}, {"init_time": 12}])
def test_plain_xarray_opens_it_in_larger_chunks_of_runs(url, chunks):
    plain = xr.open_zarr(url, chunks=chunks)
    xr.testing.assert_identical(plain.load(), xr.open_zarr(url).load())


@LAZY_AND_DASK
def test_chunks_are_unified(opened, options):
    found = opened(**options).unify_chunks()
    xr.testing.assert_identical(found.load(), opened(**options).load())
    assert found.chunks is not None


FRAMES: dict[str, Callable[[str], xr.Dataset]] = {
    "open_dataset": open_dataset,
    "open_dataset in chunks": lambda url: open_dataset(url, chunks={}),
    "open_dataset in automatic chunks": lambda url: open_dataset(url, chunks="auto"),
    "open_zarr without Dask": lambda url: xr.open_zarr(url, chunks=None),
    "open_zarr with unified chunks": lambda url: xr.open_zarr(url).unify_chunks(),
}


@pytest.mark.parametrize("make", FRAMES.values(), ids=FRAMES)
def test_a_dataset_becomes_a_dask_dataframe(url, make):
    ds = make(url)
    frame = ds.isel(init_time=slice(0, 8)).to_dask_dataframe().compute()
    assert len(frame) == 8 * 2 * 5
    assert sorted(set(frame.name)) == [f"place {k}, Süd" for k in range(5)]
    np.testing.assert_array_equal(frame[NAMES[0]], ds[NAMES[0]].isel(init_time=slice(0, 8)).to_numpy().ravel())


# --- labels ---


RESULTS: dict[str, Callable[[xr.Dataset], xr.Dataset]] = {
    "best_estimate": lambda ds: ds.hrrr.best_estimate(),
    "fixed_lead": lambda ds: ds.hrrr.fixed_lead(1),
    "latest": lambda ds: ds.hrrr.latest("2024-01-04T01:00"),
    "by_valid_time": lambda ds: ds.hrrr.by_valid_time().isel(lead_time=0),
}


@LAZY_AND_DASK
@pytest.mark.parametrize("ask", RESULTS.values(), ids=RESULTS)
def test_the_columns_of_a_table_are_the_ids_of_the_points_once_they_are_the_dimension(opened, options, ask):
    result = ask(opened(**options))[NAMES[0]]
    table = result.swap_dims(point="point_id").to_pandas()
    assert table.columns.tolist() == ["p0", "p1", "p2", "p3", "p4"]
    np.testing.assert_array_equal(table["p3"], result.isel(point=3))


# --- units ---


@LAZY_AND_DASK
def test_pint_understands_the_units(opened, options):
    needs.extra("pint_xarray")
    needs.extra("cf_xarray.units")  # makes pint understand those of CF, such as degrees_north
    ds = opened(**options)
    quantified = ds.pint.quantify()
    celsius = quantified[NAMES[0]].pint.to("degC").pint.dequantify()
    np.testing.assert_allclose(celsius, ds[NAMES[0]] - 273.15, rtol=1e-5)
    assert str(quantified.latitude.attrs.get("units", quantified.latitude.pint.units)) == "degrees_north"


def test_pint_understands_the_units_of_every_variable_but_reflectivity():
    needs.extra("cf_xarray.units")
    registry = needs.extra("pint").get_application_registry()
    unknown = set()
    for variable in CATALOG.values():
        try:
            registry.parse_units(variable.units)
        except AttributeError:  # pint's UndefinedUnitError is one
            unknown.add(variable.units)
    assert unknown == {"dBZ"}, "the page says which"


@LAZY_AND_DASK
def test_cf_xarray_finds_variables_by_their_standard_names(opened, options):
    needs.extra("cf_xarray")
    ds = opened(**options)
    assert ds.cf["air_temperature"].name == "temperature_2m"
    assert ds.cf["forecast_reference_time"].name == "init_time"
    assert ds.cf["forecast_period"].name == "lead_time"
    assert ds.cf["timeseries_id"].name == "point_id"
    assert ds.cf.grid_mapping_names == {"lambert_conformal_conic": ["crs"]}
