"""The settings of a store are a string of JSON; those of older stores are an object, and are read alike."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from support.specs import (
    NAMES,
    all_pieces,
    as_created,
    commit,
    make_points,
    make_spec,
    partition_outcomes,
    race_write,
    read_tree,
)

import hrrr_dask
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.read.opening import open_dataset
from hrrr_dask.store.existing import find_store, load_spec
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.settings_attribute import SETTINGS, encode_root, encode_settings, settings_in
from hrrr_dask.store.spec import Growth, settings_of
from hrrr_dask.store.store import Store
from hrrr_dask.store.template import ROOT_KEY, build_template


def root_of(store: Store) -> dict:
    found: dict = json.loads((Path(store.url) / ROOT_KEY).read_bytes())
    return found


def as_before(store: Store) -> Store:
    """The store as version 0.1 wrote it: the settings themselves are the attribute."""
    root = root_of(store)
    root["attributes"][SETTINGS] = settings_in(root)
    (Path(store.url) / ROOT_KEY).write_text(json.dumps(root, indent=1))
    return store


@pytest.fixture
def new(tmp_path) -> Store:
    """A store whose first partition is read."""
    made = Store(str(tmp_path / "new.zarr"), {}, make_spec()).make_or_grow(Growth())
    made.merge(0, all_pieces(0))
    commit(made, *partition_outcomes(0))
    publish_status(made, 0)
    return made


@pytest.fixture
def old(new) -> Store:
    return as_before(new)


def test_every_attribute_is_a_string_a_number_or_a_list_of_these(new):
    root = root_of(new)
    groups = [root, *root["consolidated_metadata"]["metadata"].values()]
    values = [value for group in groups for value in group["attributes"].values()]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    assert len(flat) > 100
    assert {type(item) for item in flat} == {str, int, float}
    assert json.loads(root["attributes"][SETTINGS]) == json.loads(json.dumps(settings_of(new.spec)))


def test_a_store_of_before_is_read_as_the_same_settings(old):
    assert isinstance(root_of(old)["attributes"][SETTINGS], dict)
    existing = find_store(old.blobs)
    assert existing is not None
    assert existing.settings == json.loads(json.dumps(settings_of(old.spec)))
    spec = load_spec(old.blobs)
    assert spec is not None
    assert settings_of(spec) == settings_of(old.spec)


def test_a_store_of_before_is_examined_and_left_as_it_is(old):
    before = read_tree(old.url)
    assert hrrr_dask.status(old.url).files_complete == 8
    assert not hrrr_dask.verify_checksums(old.url).differences
    old.make_or_grow(Growth(n_days=2))
    assert read_tree(old.url) == before


def test_a_changed_setting_in_a_store_of_before_is_found(old):
    root = root_of(old)
    root["attributes"][SETTINGS]["package_version"] = "another"
    (Path(old.url) / ROOT_KEY).write_text(json.dumps(root, indent=1))
    report = hrrr_dask.verify_checksums(old.url)
    assert [(each.kind, each.file) for each in report.differences] == [("other-document", ROOT_KEY)]


def test_a_store_of_before_gives_a_dataset_that_any_back_end_writes(old):
    with open_dataset(old.url) as found:
        assert json.loads(found.attrs[SETTINGS])["n_days"] == 4


@pytest.mark.parametrize(
    "growth",
    [
        Growth(n_days=9),
        Growth(points=make_points([7])),
        Growth(variables=parse_variables(["wind_gust_surface"])),
    ],
    ids=["days", "points", "variables"],
)
def test_a_store_of_before_grows_into_one_of_now(old, growth):
    with xr.open_zarr(old.url, chunks=None) as found:
        before = found[NAMES[0]].load()
    grown = old.grow(growth)
    assert isinstance(root_of(grown)["attributes"][SETTINGS], str)
    assert (Path(old.url) / ROOT_KEY).read_bytes() == build_template(grown.spec)[ROOT_KEY]
    assert "other-document" not in {each.kind for each in hrrr_dask.verify_checksums(old.url).differences}
    with open_dataset(old.url) as found:
        np.testing.assert_array_equal(found[NAMES[0]][:8, :, :5], before)


@pytest.mark.parametrize("write", ["put_new", "_replace"])
def test_two_that_grow_a_store_of_before_at_once_both_do(old, monkeypatch, write):
    def other() -> None:
        Store(old.url, {}, old.spec).grow(Growth(points=make_points([6])))

    keys = race_write(monkeypatch, write, other, lambda key: write == "put_new" or key == ROOT_KEY)
    grown = old.grow(Growth(n_days=9))
    assert len(keys) == 1
    assert (grown.spec.n_days, len(grown.spec.points), grown.spec.growth) == (9, 6, 2)
    assert (Path(old.url) / ROOT_KEY).read_bytes() == build_template(grown.spec)[ROOT_KEY]


def test_encoding_a_root_document_makes_those_of_before_what_they_would_be_now():
    spec = as_created(make_spec())
    now = build_template(spec)[ROOT_KEY]
    root = json.loads(now)
    root["attributes"][SETTINGS] = settings_in(root)
    before = json.dumps(root, indent=1).encode()
    assert before != now
    assert encode_root(before) == now
    assert encode_root(now) is now
    assert settings_in({"attributes": {SETTINGS: encode_settings({"a": [1]})}}) == {"a": [1]}
