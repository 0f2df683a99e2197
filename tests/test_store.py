"""A store in a directory: made, continued, grown, written in whole shards, and opened by anybody."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from hrrr_dask.assemble import Slab
from hrrr_dask.blobs import Blobs
from hrrr_dask.config import Selection
from hrrr_dask.errors import StoreConflictError, StoreError, StoreMismatchError
from hrrr_dask.existing import find_store, find_store_at
from hrrr_dask.grid import nearest, read_grid
from hrrr_dask.ledger import encode_entry
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, OUTCOMES
from hrrr_dask.planning import Axis, Layout
from hrrr_dask.points import Points
from hrrr_dask.records import FileOutcome, GribFile
from hrrr_dask.store import GROW_ATTEMPTS, Store, open_dataset
from hrrr_dask.template import ROOT_KEY, StoreSpec, identity
from hrrr_dask.testing import DEFAULT_WINDOW
from hrrr_dask.variables import parse_variables

SELECTION = Selection(parse_variables(["temperature_2m", "precipitation_1h"]), (0, 1), (0, 12))
NAMES = ("temperature_2m", "precipitation_1h")
TRUNCATED = OUTCOMES["truncated"].number


def make_spec(n_days: int = 4, n_points: int = 5, selection: Selection = SELECTION) -> StoreSpec:
    latitude, longitude = DEFAULT_WINDOW.latlon(np.arange(n_points), np.arange(n_points) + 1)
    ids = tuple(f"p{k}" for k in range(n_points))
    points = Points(ids, ids, latitude, longitude)
    section = DEFAULT_WINDOW.section3()
    cells = nearest(read_grid(section), points.latitude, points.longitude)
    return StoreSpec(selection, points, cells, section, Layout(2, 4, 2), Axis(datetime(2024, 1, 1), (0, 12)), n_days)


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(str(tmp_path / "s.zarr"), {}, make_spec())
    made.create("1.2.3")
    return made


def slab_of(store: Store, number: int) -> Slab:
    """A value for each init time, lead time and point; rain has none at lead 0."""
    shape = (2, store.spec.span, 2, len(store.spec.points))
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) + 1000 * number
    values[1, :, 0] = np.nan
    outcomes = np.full(shape[:3], COMPLETE, np.uint8)
    outcomes[1, :, 0] = NOT_OFFERED
    return Slab(values, outcomes)


def commit(store: Store, number: int, attempt: str = "a", reasons: dict[str, str] | None = None) -> None:
    axis, span = store.spec.axis, store.spec.span
    outcomes = [
        FileOutcome(
            GribFile(axis.init_time(index), lead), NAMES if lead else NAMES[:1], reasons if reasons and lead else {}
        )
        for index in range(number * span, (number + 1) * span)
        for lead in (0, 1)
    ]
    store.ledger.write(number, attempt, encode_entry(outcomes, {}))


def tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_what_is_not_there_is_none_and_is_not_made(tmp_path):
    assert find_store_at(str(tmp_path / "nothing"), {}) is None
    assert not (tmp_path / "nothing").exists()
    assert find_store_at(str(tmp_path), {}) is None


def test_a_store_says_what_it_was_made_for(store):
    existing = find_store_at(store.url, {})
    assert existing is not None
    assert existing.selection == SELECTION
    assert existing.layout == Layout(2, 4, 2)
    assert existing.axis == store.spec.axis
    assert (existing.n_days, existing.n_init, existing.n_points) == (4, 8, 5)
    assert existing.grid_section == store.spec.grid_section


def test_the_loser_of_two_creations_writes_nothing(store):
    before = tree(Path(store.url))
    with pytest.raises(StoreConflictError, match="another command makes another store at"):
        Store(store.url, {}, make_spec(n_points=3)).create("1.2.3")
    assert tree(Path(store.url)) == before


def test_the_same_creation_twice_is_one(store):
    before = tree(Path(store.url))
    Store(store.url, {}, store.spec).create("1.2.3")
    assert tree(Path(store.url)) == before


def test_a_writer_of_a_store_that_was_made_anew_is_stopped(store, tmp_path):
    stale = Store(store.url, {}, replace(store.spec, axis=Axis(datetime(2023, 1, 1), store.spec.axis.cycles)))
    with pytest.raises(StoreMismatchError, match="is another store now than when this command began"):
        stale.grow(9)
    with pytest.raises(StoreMismatchError, match="is another store now"):
        stale.write_slab(0, store.read_slab(0))


def test_a_creation_that_was_killed_is_begun_anew(store):
    root = Path(store.url)
    (root / ROOT_KEY).unlink()
    before = tree(root)
    assert find_store_at(store.url, {}) is None
    store.create("1.2.3")
    after = tree(root)
    assert {key: after[key] for key in before} == before
    assert set(after) - set(before) == {ROOT_KEY}


def test_a_store_is_made_or_grown_as_far_as_it_must_reach(tmp_path):
    new = Store(str(tmp_path / "s.zarr"), {}, make_spec(n_days=0))
    assert not (tmp_path / "s.zarr").exists()
    made = new.ready(3, "1.2.3")
    assert made.spec.n_days == 3
    assert made.ready(2, "1.2.3").spec.n_days == 3
    assert made.ready(5, "9.9.9").spec.n_days == 5
    said = json.loads((tmp_path / "s.zarr" / ROOT_KEY).read_bytes())["attributes"]["hrrr_dask"]
    assert (said["n_days"], said["package_version"]) == (5, "1.2.3")


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreMismatchError, match=r"is not empty and not a store of hrrr_dask \(it holds thesis\.txt\)"):
        find_store_at(str(tmp_path), {})


@pytest.mark.parametrize("root", [b"{}", b"no json", b"[]", b'{"attributes": {"hrrr_dask": 5}}'])
def test_another_zarr_store_is_left_alone(tmp_path, root):
    (tmp_path / ROOT_KEY).write_bytes(root)
    with pytest.raises(StoreMismatchError, match="a Zarr store that hrrr_dask did not make; it is left alone"):
        find_store_at(str(tmp_path), {})


def test_a_store_of_another_format_names_the_release_that_made_it(store):
    path = Path(store.url) / ROOT_KEY
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(StoreMismatchError, match=r"has format version 99, this hrrr_dask reads 1: .*1\.2\.3"):
        find_store(store.blobs)


def test_a_store_that_lost_its_consolidated_metadata_is_refused_with_a_reason(store):
    path = Path(store.url) / ROOT_KEY
    root = json.loads(path.read_bytes())
    del root["consolidated_metadata"]
    path.write_text(json.dumps(root))
    with pytest.raises(StoreMismatchError, match=r"bring it back with zarr\.consolidate_metadata"):
        find_store(store.blobs)


def test_continuing_with_other_settings_says_all_that_differs(store):
    existing = find_store(store.blobs)
    assert existing is not None
    existing.check_same(identity(SELECTION, store.spec.points))
    other = replace(
        SELECTION,
        variables=parse_variables(["temperature_2m", "wind_gust_surface"]),
        lead_hours=(0, 1, 2),
        method="bilinear",
    )
    with pytest.raises(StoreMismatchError) as caught:
        existing.check_same(identity(other, make_spec(n_points=4).points))
    text = str(caught.value)
    assert "  method: the store has nearest, this run asks for bilinear" in text
    assert "  lead-hours: only asked for: 2" in text
    assert "only in the store: precipitation_1h=APCP:surface:1 hour acc; only asked for: wind_gust_surface=" in text
    assert "  points: the store has 5 points, digest " in text
    assert "cycles" not in text
    assert text.endswith("Repeat the store's own settings to continue it, or write to another --store")


def test_the_order_in_which_variables_are_named_does_not_matter(store):
    existing = find_store(store.blobs)
    assert existing is not None
    existing.check_same(identity(replace(SELECTION, variables=SELECTION.variables[::-1]), store.spec.points))


def test_growing_keeps_what_was_written(store):
    written = slab_of(store, 0)
    store.write_slab(0, written)
    commit(store, 0)
    before = tree(Path(store.url))
    grown = store.grow(400)
    after = tree(Path(store.url))
    assert {key for key in before if after[key] != before[key]} == {ROOT_KEY} | {
        f"{name}/zarr.json" for name in ("init_time", "valid_time", "status", *NAMES)
    }
    assert grown.spec.n_init == 800
    np.testing.assert_array_equal(grown.read_slab(0).values, written.values)
    assert open_dataset(store.url).sizes["init_time"] == 800


def test_growing_never_shrinks_and_growing_to_the_same_length_writes_nothing(store, monkeypatch):
    store.grow(6)
    before = tree(Path(store.url))
    for name in ("put", "put_new", "replace"):
        monkeypatch.setattr(Blobs, name, lambda *_: pytest.fail("nothing has to be written"))
    assert store.grow(1).spec.n_days == 6
    assert store.grow(6).spec.n_days == 6
    assert tree(Path(store.url)) == before


def test_who_loses_the_race_to_grow_leaves_the_winners_documents(store, monkeypatch):
    put, raced = Blobs.put, []

    def put_late(self, key, data):
        if not raced:
            raced.append(key)
            Store(store.url, {}, store.spec).grow(9)  # the other writer, after our read and before our first document
        put(self, key, data)

    monkeypatch.setattr(Blobs, "put", put_late)
    assert store.grow(6).spec.n_days == 9
    root = json.loads((Path(store.url) / ROOT_KEY).read_bytes())
    for name, document in root["consolidated_metadata"]["metadata"].items():
        assert json.loads((Path(store.url) / name / "zarr.json").read_bytes()) == document, name


def test_growing_to_the_same_length_twice_gives_the_same_bytes(store, tmp_path):
    store.grow(9)
    straight = Store(str(tmp_path / "t.zarr"), {}, make_spec(n_days=9))
    straight.create("1.2.3")
    grown, made = tree(Path(store.url)), tree(tmp_path / "t.zarr")
    assert {key: grown[key] for key in grown if not key.startswith(".hrrr/")} == {
        key: made[key] for key in made if not key.startswith(".hrrr/")
    }


def test_growing_gives_way_to_faster_writers_but_not_for_ever(store, monkeypatch):
    races = []

    def lose(self, key, data, etag):
        races.append(etag)
        raise StoreConflictError("another writer")

    monkeypatch.setattr(Blobs, "replace", lose)
    with pytest.raises(StoreConflictError, match="is being grown by too many writers: run the command again"):
        store.grow(9)
    assert len(races) == GROW_ATTEMPTS


def test_growing_after_a_lost_race_takes_the_longer_axis(store, monkeypatch):
    replace_root = Blobs.replace

    def lose_once(self, key, data, etag):
        monkeypatch.setattr(Blobs, "replace", replace_root)
        Store(store.url, {}, make_spec()).grow(30)
        raise StoreConflictError("another writer")

    monkeypatch.setattr(Blobs, "replace", lose_once)
    assert store.grow(9).spec.n_days == 30
    assert open_dataset(store.url).sizes["init_time"] == 60


def test_a_committed_slab_comes_back_bit_for_bit(store):
    written = slab_of(store, 1)
    assert store.write_slab(1, written) > 0
    commit(store, 1)
    read = store.read_slab(1)
    assert read.values.tobytes() == written.values.tobytes()
    assert read.outcomes.tolist() == written.outcomes.tolist()


def test_readers_see_the_values_where_they_belong(store):
    written = slab_of(store, 1)
    store.write_slab(1, written)
    dataset = open_dataset(store.url)
    for v, name in enumerate(NAMES):
        np.testing.assert_array_equal(dataset[name][4:], written.values[v])
        assert np.isnan(dataset[name][:4]).all()
    assert (dataset.status[4:] == COMPLETE).all()
    assert (dataset.status[:4] == NOT_INGESTED).all()


def test_values_without_a_ledger_entry_are_not_there(store):
    store.write_slab(0, slab_of(store, 0))
    read = store.read_slab(0)
    assert np.isnan(read.values).all()
    assert set(read.outcomes.ravel().tolist()) == {NOT_INGESTED, NOT_OFFERED}
    assert read.outcomes[1, 0].tolist() == [NOT_OFFERED, NOT_INGESTED]


def test_values_that_the_ledger_calls_a_gap_are_not_there(store):
    store.write_slab(0, slab_of(store, 0))
    commit(store, 0, reasons={"temperature_2m": "truncated"})
    read = store.read_slab(0)
    assert np.isnan(read.values[0, :, 1]).all()
    assert (read.outcomes[0, :, 1] == TRUNCATED).all()
    assert np.isfinite(read.values[0, :, 0]).all()


def test_the_ledger_of_another_partition_does_not_matter(store):
    store.write_slab(0, slab_of(store, 0))
    commit(store, 1)
    assert np.isnan(store.read_slab(0).values).all()


def test_all_outcomes_of_a_store_are_folded(store):
    commit(store, 0, "a", {"precipitation_1h": "truncated"})
    codes = store.folded()
    assert codes.shape == (2, 8, 2)
    assert codes[0].tolist() == [[COMPLETE] * 2] * 4 + [[NOT_INGESTED] * 2] * 4
    assert codes[1].tolist() == [[NOT_OFFERED, TRUNCATED]] * 4 + [[NOT_OFFERED, NOT_INGESTED]] * 4


def test_writing_again_writes_the_same_bytes(store):
    store.write_slab(0, slab_of(store, 0))
    before = tree(Path(store.url))
    store.write_slab(0, slab_of(store, 0))
    assert tree(Path(store.url)) == before


def test_a_slab_without_values_leaves_no_object(store):
    slab = slab_of(store, 0)
    store.write_slab(0, slab)
    nothing = Slab(np.full_like(slab.values, np.nan), np.full_like(slab.outcomes, TRUNCATED))
    store.write_slab(0, nothing)
    assert [key for key in tree(Path(store.url)) if key.startswith(tuple(f"{name}/c" for name in NAMES))] == []
    assert (open_dataset(store.url).status[:4] == TRUNCATED).all()


def test_one_object_a_variable_and_block_of_points_is_written(store):
    before = set(tree(Path(store.url)))
    store.write_slab(1, slab_of(store, 1))
    assert set(tree(Path(store.url))) - before == {
        "status/c/1/0",
        *(f"{name}/c/1/0/{block}" for name in NAMES for block in (0, 1)),
    }


def test_a_slab_of_another_shape_is_refused(store):
    slab = slab_of(store, 0)
    with pytest.raises(ValueError, match="is not a partition of 4 init times"):
        store.write_slab(0, Slab(slab.values[:, :3], slab.outcomes[:, :3]))
    with pytest.raises(ValueError, match="is not a partition"):
        store.write_slab(0, Slab(slab.values[..., :4], slab.outcomes))


def test_a_partition_beyond_the_stores_end_is_refused(store):
    store.write_slab(1, slab_of(store, 1))
    before = tree(Path(store.url))
    with pytest.raises(ValueError, match="partition 2 lies beyond the store's 8 init times"):
        store.write_slab(2, slab_of(store, 2))
    assert tree(Path(store.url)) == before


def test_the_last_partition_may_reach_beyond_the_end(tmp_path):
    store = Store(str(tmp_path / "s.zarr"), {}, make_spec(n_days=3))
    store.create("1")
    written = slab_of(store, 1)
    store.write_slab(1, written)
    np.testing.assert_array_equal(open_dataset(store.url).temperature_2m[4:], written.values[0, :2])


def test_a_writer_that_knows_other_points_is_stopped(store):
    stale = Store(store.url, {}, make_spec(n_points=4))
    before = tree(Path(store.url))
    with pytest.raises(StoreMismatchError, match="points: the store has 5 points"):
        stale.write_slab(0, slab_of(stale, 0))
    assert tree(Path(store.url)) == before


def test_a_store_that_vanished_while_in_use_is_an_error(store):
    (Path(store.url) / ROOT_KEY).unlink()
    for call in (lambda: store.grow(9), lambda: store.write_slab(0, slab_of(store, 0))):
        with pytest.raises(StoreError, match="lost its root document while it was in use"):
            call()


def test_plain_xarray_and_zarr_open_it_without_a_warning(store):
    store.write_slab(0, slab_of(store, 0))
    with xr.open_zarr(store.url) as plain:
        assert plain.temperature_2m.shape == (8, 2, 5)
    group = zarr.open_group(store.url, mode="r")
    assert group["temperature_2m"][0, 0, 4] == 4.0
    assert ".hrrr" not in list(group.keys())


def test_points_are_selected_by_their_id(store):
    written = slab_of(store, 0)
    store.write_slab(0, written)
    dataset = open_dataset(store.url)
    np.testing.assert_array_equal(dataset.temperature_2m.sel(point_id="p3")[:4], written.values[0, ..., 3])


def test_reading_through_dask_gives_the_same(store):
    store.write_slab(0, slab_of(store, 0))
    lazy = open_dataset(store.url, chunks={})
    assert lazy.temperature_2m.chunks is not None
    xr.testing.assert_identical(lazy.load(), open_dataset(store.url).load())


def test_opening_what_is_no_store_says_so(tmp_path):
    with pytest.raises(StoreMismatchError, match="holds no store: check the URL, or make one with hrrr-dask backfill"):
        open_dataset(str(tmp_path / "nothing"))
