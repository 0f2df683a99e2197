"""The store as documents: the same bytes always, growth that rewrites no coordinate, and a plain Zarr for readers."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from support.paths import pythonpath_for
from support.specs import AXIS, LAYOUT, as_created, make_points, make_spec

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.outcomes import NEVER, OUTCOMES
from hrrr_dask.store.settings_attribute import settings_in
from hrrr_dask.store.spec import FORMAT_VERSION, Growth, StoreSpec, apply_growth, identity, settings_of
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.testing import DEFAULT_WINDOW

COORDINATES = {
    "init_time",
    "lead_time",
    "valid_time",
    "point_id",
    "name",
    "latitude",
    "longitude",
    "cell_latitude",
    "cell_longitude",
    "cell_y",
    "cell_x",
    "cell_distance",
    "cell_projection_x",
    "cell_projection_y",
    "status",
    "quality",
    "available_at",
    "crs",
}


NAMES = ("temperature_2m", "u_component_wind_10m", "precipitation_1h")
WEATHER = Selection(parse_variables(NAMES), (0, 60, 180), AXIS.cycles)


def weather_spec(n_days: int = 2, n_points: int = 3) -> StoreSpec:
    """Temperature, wind and rain of two runs a day at the first cells of a diagonal."""
    return as_created(make_spec(n_days, n_points, WEATHER))


def written(documents: dict[str, bytes], root: Path) -> Path:
    for key, data in documents.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def opened(root: Path) -> xr.Dataset:
    return xr.open_zarr(root, chunks=None)


def document(documents: dict[str, bytes], name: str) -> dict:
    found: dict = json.loads(documents[f"{name}/zarr.json"])
    return found


@pytest.fixture(scope="module")
def documents() -> dict[str, bytes]:
    return build_template(weather_spec())


@pytest.fixture(scope="module")
def dataset(documents, tmp_path_factory) -> xr.Dataset:
    return opened(written(documents, tmp_path_factory.mktemp("store")))


def test_a_template_is_the_same_every_time(documents):
    assert list(build_template(weather_spec()).items()) == list(documents.items())


def test_a_template_is_the_same_in_every_process(documents):
    code = (
        "import hashlib; from test_template import weather_spec; from hrrr_dask.store.template import build_template\n"
        "print(hashlib.sha256(repr(build_template(weather_spec())).encode()).hexdigest())"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": pythonpath_for(__file__),
        "PYTHONHASHSEED": "4711",
        "TZ": "Asia/Tokyo",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    assert done.stdout.decode().strip() == hashlib.sha256(repr(documents).encode()).hexdigest()


def test_the_root_document_comes_last_and_holds_all_the_others(documents):
    assert list(documents)[-1] == ROOT_KEY
    inside = json.loads(documents[ROOT_KEY])["consolidated_metadata"]["metadata"]
    assert set(inside) == COORDINATES | set(NAMES)
    assert all(document(documents, name) == held for name, held in inside.items())


@pytest.mark.parametrize("n_days", [3, 300, 366, 367, 3000])
def test_growing_keeps_every_object_that_is_no_metadata(documents, n_days):
    grown = build_template(weather_spec(n_days))
    chunks = {key: data for key, data in documents.items() if not key.endswith("zarr.json")}
    assert chunks
    assert {key: grown[key] for key in chunks} == chunks
    new = set(grown) - set(documents)
    assert all(key.startswith("valid_time/c/") for key in new)
    assert bool(new) == (n_days > 366)


def test_growing_changes_only_the_length_of_the_axis(documents):
    grown = build_template(weather_spec(300))
    changed = {key for key in documents if grown[key] != documents[key]}
    along = {"init_time", "valid_time", "status", "quality", "available_at", *NAMES}
    assert changed == {ROOT_KEY} | {f"{name}/zarr.json" for name in along}
    for name in along:
        before, after = document(documents, name), document(grown, name)
        assert (before["shape"][0], after["shape"][0]) == (4, 600)
        before["shape"][0] = after["shape"][0]
        assert before == after


def test_a_grown_axis_reads_as_if_it_had_been_that_long_from_the_start(tmp_path, documents):
    root = written(documents, tmp_path)
    grown = opened(written(build_template(weather_spec(400)), root))
    inits = np.array([np.datetime64("2024-01-01T00", "ns") + np.timedelta64(12 * k, "h") for k in range(800)])
    np.testing.assert_array_equal(grown.init_time, inits)
    np.testing.assert_array_equal(grown.valid_time, inits[:, None] + grown.lead_time.to_numpy())


def test_the_times_are_those_of_the_axis(dataset):
    expected = np.array(["2024-01-01T00", "2024-01-01T12", "2024-01-02T00", "2024-01-02T12"], "datetime64[ns]")
    np.testing.assert_array_equal(dataset.init_time, expected)
    np.testing.assert_array_equal(dataset.lead_time, np.array([0, 1, 3], "timedelta64[h]"))
    np.testing.assert_array_equal(dataset.valid_time, expected[:, None] + np.array([0, 1, 3], "timedelta64[h]"))


def test_the_points_and_their_cells_are_there(dataset):
    spec = weather_spec()
    assert dataset.point_id.to_numpy().tolist() == ["p0", "p1", "p2"]
    assert dataset.name.to_numpy().tolist()[0] == "place 0, Süd"
    for name in ("latitude", "longitude"):
        np.testing.assert_array_equal(dataset[name], getattr(spec.points, name))
        np.testing.assert_array_equal(dataset[f"cell_{name}"], getattr(spec.cells, name))
    assert dataset.cell_y.to_numpy().tolist() == [0, 1, 2]
    assert dataset.cell_x.to_numpy().tolist() == [1, 2, 3]
    assert 100 < float(dataset.cell_distance[0]) < 125


def test_an_empty_store_is_all_missing_and_not_ingested(dataset):
    for name in dataset.data_vars:
        assert dataset[name].dims == ("init_time", "lead_time", "point")
        assert dataset[name].dtype == np.float32
        assert np.isnan(dataset[name]).all()
    assert (dataset.status == 0).all()
    assert np.isnat(dataset.available_at).all()


def test_only_the_variables_are_data(dataset):
    assert list(dataset.data_vars) == ["precipitation_1h", "temperature_2m", "u_component_wind_10m"]
    assert set(dataset.coords) == COORDINATES


def test_attributes_follow_cf(dataset):
    assert dataset.attrs["Conventions"] == "CF-1.11"
    assert dataset.attrs["featureType"] == "timeSeries"
    assert dataset.point_id.attrs["cf_role"] == "timeseries_id"
    assert dataset.init_time.attrs["standard_name"] == "forecast_reference_time"
    assert dataset.lead_time.attrs["standard_name"] == "forecast_period"
    assert dataset.valid_time.attrs["standard_name"] == "time"
    assert dataset.valid_time.attrs["long_name"] == "valid time"  # xarray breaks labels of more than 30 characters
    assert dataset.crs.attrs["grid_mapping_name"] == "lambert_conformal_conic"
    assert dataset.crs.attrs["standard_parallel"] == 38.5
    assert dataset.temperature_2m.attrs["standard_name"] == "air_temperature"
    assert dataset.temperature_2m.attrs["units"] == "K"
    assert dataset.precipitation_1h.attrs["cell_methods"] == "lead_time: sum (interval: 60 minutes)"
    assert dataset.temperature_2m.attrs["grid_mapping"] == "crs"


def test_wind_says_that_it_is_earth_relative_and_nothing_else_does(dataset):
    assert "earth-relative" in dataset.u_component_wind_10m.attrs["comment"]
    assert "comment" not in dataset.temperature_2m.attrs


def test_the_moment_since_when_a_file_is_there_is_a_time_that_may_be_missing(documents):
    array = document(documents, "available_at")
    assert (array["data_type"], array["fill_value"]) == ("int64", NEVER)
    assert array["attributes"]["units"] == "seconds since 1970-01-01 00:00:00"
    assert array["attributes"]["_FillValue"] == NEVER


def test_the_status_names_every_outcome(dataset):
    assert dataset.status.attrs["flag_values"] == [outcome.number for outcome in OUTCOMES.values()]
    assert dataset.status.attrs["flag_meanings"].split() == list(OUTCOMES)


def test_a_variable_without_a_standard_name_has_none(tmp_path):
    spec = weather_spec()
    spec = replace(spec, selection=replace(spec.selection, variables=parse_variables(["LFTX:500-1000 mb"])))
    variable = opened(written(build_template(spec), tmp_path)).lftx_500_1000_mb
    assert "standard_name" not in variable.attrs
    assert "cell_methods" not in variable.attrs


def test_shards_span_partitions_and_chunks_span_blocks_of_points(documents):
    array = document(documents, "temperature_2m")
    assert array["shape"] == [4, 3, 3]
    assert array["chunk_grid"]["configuration"]["chunk_shape"] == [4, 3, 4]
    (sharding,) = array["codecs"]
    assert sharding["configuration"]["chunk_shape"] == [4, 3, 2]
    (_, blosc, checksum) = sharding["configuration"]["codecs"]
    assert blosc["configuration"] | {"blocksize": 0} == {
        "typesize": 4,
        "cname": "zstd",
        "clevel": 3,
        "shuffle": "shuffle",
        "blocksize": 0,
    }
    assert checksum["name"] == "crc32c"
    assert document(documents, "status")["chunk_grid"]["configuration"]["chunk_shape"] == [4, 3]


def test_what_belongs_to_points_comes_in_chunks_with_room(documents):
    for name in ("point_id", "name", "latitude", "cell_y"):
        array = document(documents, name)
        assert (array["shape"], array["chunk_grid"]["configuration"]["chunk_shape"]) == ([3], [LAYOUT.shard_points])


def test_points_are_added_in_the_room_that_is_left_and_then_in_new_chunks(documents):
    spec = weather_spec()
    for last, new in ((4, 0), (5, 1), (9, 2)):
        more = build_template(apply_growth(spec, Growth(points=make_points(range(3, last))).step_from(spec), 1))
        added = set(more) - set(documents)
        assert {key for key in added if key.startswith("point_id/")} == {f"point_id/c/{k}" for k in range(1, new + 1)}
        times = {key for key in documents if "time/" in key or key.startswith(("status", "quality", "available_at"))}
        assert {key for key in times if more[key] != documents[key]} == set()
        assert document(more, NAMES[0])["shape"] == [4, 3, last]


def test_a_variable_that_is_added_is_a_document_more(documents):
    spec = weather_spec()
    gust = parse_variables(["wind_gust_surface"])
    more = build_template(apply_growth(spec, Growth(variables=gust).step_from(spec), 1))
    assert set(more) - set(documents) == {"wind_gust_surface/zarr.json"}
    assert {key for key in documents if more[key] != documents[key]} == {ROOT_KEY}


def test_the_group_says_what_made_it_and_how(documents):
    said = settings_in(json.loads(documents[ROOT_KEY]))
    spec = weather_spec()
    assert said["format_version"] == FORMAT_VERSION
    assert said["package_version"] == "1.2.3"
    assert said["layout"] == {"partition_days": 2, "shard_points": 4, "chunk_points": 2}
    assert (said["first_day"], said["asked_from"], said["n_days"]) == ("2024-01-01", 0, 2)
    assert said["cohorts"] == [{"n_points": 3, "digest": spec.points.digest(), "growth": 0}]
    assert bytes.fromhex(said["grid_section"]) == spec.grid_section
    assert said["lead_hours"] == [0, 1, 3]
    assert "lead_minutes" not in said
    fixed = {key: value for key, value in identity(spec.selection).items() if key != "lead_minutes"}
    assert {key: said[key] for key in fixed} == fixed
    assert said == json.loads(json.dumps(settings_of(spec)))


def test_a_specification_knows_its_sizes():
    spec = weather_spec(5)
    assert (spec.n_init, spec.span, spec.grid.nx) == (10, 4, DEFAULT_WINDOW.nx)
