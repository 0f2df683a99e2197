"""A store in a directory: made and grown by steps, added to by writers that take nothing away from one another."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from support.specs import (
    AXIS,
    NAMES,
    SELECTION,
    SPAN,
    all_pieces,
    commit,
    make_points,
    make_spec,
    partition_outcomes,
    piece,
    race_write,
    read_tree,
    values_at,
)

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.errors import StoreConflictError, StoreError, StoreMismatchError
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, OUTCOMES
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.store import conditional_writes as contention
from hrrr_dask.store import store as module
from hrrr_dask.store.existing import check_same, find_store, find_store_url, load_spec, load_spec_url, step_key
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.settings_attribute import settings_in
from hrrr_dask.store.shards import decode_shard
from hrrr_dask.store.spec import FORMAT_VERSION, Growth
from hrrr_dask.store.store import Store
from hrrr_dask.store.template import ROOT_KEY

TRUNCATED = OUTCOMES["truncated"].number
GUST = parse_variables(["wind_gust_surface"])
ARRAYS = ("init_time", "valid_time", "status", "quality", "available_at", *NAMES)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "s.zarr"), {}, make_spec()).make_or_grow(Growth())


def again(store: Store) -> Store:
    """The store as a new command finds it."""
    spec = load_spec(store.blobs)
    assert spec is not None
    return Store(store.url, {}, spec)


def root_of(store: Store) -> dict:
    found: dict = json.loads((Path(store.url) / ROOT_KEY).read_bytes())
    return found


def values_of(store: Store, name: str = NAMES[0]) -> np.ndarray:
    """As any reader of Zarr sees them."""
    return np.asarray(zarr.open_group(store.url, mode="r")[name][...])


def expected_values(name: str, points: int = 5, n_init: int = 8, begin: int = 0, end: int | None = None) -> np.ndarray:
    """What a reader sees when some partitions' init times were read."""
    values = np.full((n_init, 2, points), np.nan, np.float32)
    for init in range(begin, n_init if end is None else end):
        for lead in (0, 1):
            if lead or name != "precipitation_1h":
                values[init, lead] = values_at(name, init, lead, np.arange(points))
    return values


# --- making ---


def test_what_is_not_there_is_none_and_is_not_made(tmp_path):
    assert find_store_url(str(tmp_path / "nothing"), {}) is None
    assert load_spec_url(str(tmp_path / "nothing"), {}) is None
    assert not (tmp_path / "nothing").exists()
    assert find_store_url(str(tmp_path), {}) is None
    Store(str(tmp_path / "nothing"), {}, make_spec())
    assert not (tmp_path / "nothing").exists()


def test_a_store_says_what_it_was_made_for(store):
    existing = find_store_url(store.url, {})
    assert existing is not None
    assert existing.selection == SELECTION
    assert existing.layout == Layout(2, 4, 2)
    assert existing.axis == AXIS
    assert (existing.n_days, existing.n_points, existing.cohort_sizes) == (4, 5, (5,))
    assert existing.requested == slice(0, 8)
    assert bytes.fromhex(existing.settings["grid_section"]) == store.spec.grid_section
    loaded = load_spec_url(store.url, {})
    assert loaded is not None
    assert loaded.points == store.spec.points
    assert loaded.cohorts == store.spec.cohorts


def test_a_store_is_made_by_its_first_step_and_says_what_the_hidden_files_are(store):
    step = json.loads((Path(store.url) / step_key(0)).read_bytes())
    assert step["points"]["point_id"] == ["p0", "p1", "p2", "p3", "p4"]
    assert step["package_version"] == "1.2.3"
    readme = (Path(store.url) / ".hrrr/README").read_text()
    assert "hrrr_dask.ledger.to_dataframe(url)" in readme
    assert set(read_tree(store.url)) >= {step_key(0), ROOT_KEY, ".hrrr/README"}


def test_of_two_creators_one_wins_and_the_other_writes_nothing(tmp_path):
    url = str(tmp_path / "s.zarr")
    one, other = Store(url, {}, make_spec()), Store(url, {}, make_spec(n_points=3))
    one.make_or_grow(Growth())
    before = read_tree(url)
    with pytest.raises(
        StoreConflictError, match=r"another command has just made another store at .*: check it, then run"
    ):
        other.make_or_grow(Growth())
    assert read_tree(url) == before


def test_the_same_creation_twice_is_one(store):
    before = read_tree(store.url)
    assert Store(store.url, {}, make_spec()).make_or_grow(Growth()).spec.cohorts == store.spec.cohorts
    assert read_tree(store.url) == before


class Killed(BaseException):
    """The end of a process, as far as it can be caught."""


WRITES = ("put", "put_new", "replace")


def killed_after(count: int, act: Callable[[], object], monkeypatch) -> int:
    """Do it, but end after so many writes; returns how many there were."""
    done = [0]

    def counted(write: Callable[..., None]) -> Callable[..., None]:
        def wrapped(*arguments: object) -> None:
            if done[0] >= count:
                raise Killed
            done[0] += 1
            write(*arguments)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(module, "AT_ONCE", 1)
        for name in WRITES:
            patch.setattr(Blobs, name, counted(getattr(Blobs, name)))
        with suppress(Killed):
            act()
    return done[0]


@pytest.mark.parametrize("count", [1, 2, 3, 9, 20, 27])
def test_a_creation_that_was_killed_is_finished_by_the_same_call(tmp_path, monkeypatch, store, count):
    new = Store(str(tmp_path / "t.zarr"), {}, make_spec())
    assert killed_after(count, lambda: new.make_or_grow(Growth()), monkeypatch) == count
    assert ROOT_KEY not in read_tree(new.url)
    assert find_store_url(new.url, {}) is None
    assert new.make_or_grow(Growth()).spec.cohorts == store.spec.cohorts
    assert read_tree(new.url) == read_tree(store.url)


def test_a_creation_that_was_killed_is_finished_by_whoever_finds_it(tmp_path, monkeypatch, store):
    new = Store(str(tmp_path / "t.zarr"), {}, make_spec())
    killed_after(5, lambda: new.make_or_grow(Growth()), monkeypatch)
    found = again(new)
    assert found.spec.cohorts
    assert found.make_or_grow(Growth()).spec.n_days == 4
    assert read_tree(new.url) == read_tree(store.url)


def test_a_store_is_made_or_grown_as_far_as_it_must_reach(tmp_path):
    made = Store(str(tmp_path / "s.zarr"), {}, make_spec(n_days=3)).make_or_grow(Growth(n_days=5))
    assert made.spec.n_days == 5
    assert made.make_or_grow(Growth(n_days=2)).spec.n_days == 5
    assert made.make_or_grow(Growth(n_days=7)).spec.n_days == 7
    said = settings_in(root_of(made))
    assert (said["n_days"], said["package_version"], said["growth"]) == (7, "1.2.3", 2)


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for look in (find_store_url, load_spec_url):
        with pytest.raises(StoreMismatchError, match=r"\(it holds thesis.txt\): give a store, or a new place for one$"):
            look(str(tmp_path), {})


@pytest.mark.parametrize(
    "root",
    [
        b"{}",
        b"no json",
        b"[" * 99_999,
        b"[]",
        b'{"attributes": {"hrrr_dask": 5}}',
        b'{"attributes": {"hrrr_dask": "[5]"}}',
    ],
)
def test_another_zarr_store_is_left_alone(tmp_path, root):
    (tmp_path / ROOT_KEY).write_bytes(root)
    with pytest.raises(StoreMismatchError, match="a Zarr store that hrrr_dask did not make; it is left alone"):
        find_store_url(str(tmp_path), {})


def test_a_store_of_another_format_names_the_release_that_made_it(store):
    path = Path(store.url) / ROOT_KEY
    changed = path.read_text().replace(f'\\"format_version\\": {FORMAT_VERSION}', '\\"format_version\\": 99')
    path.write_text(changed)
    with pytest.raises(StoreMismatchError, match=r"has format version 99, this hrrr_dask reads 3: .*1\.2\.3"):
        find_store(store.blobs)


def test_a_store_that_lost_its_consolidated_metadata_is_refused_with_a_reason(store):
    root = root_of(store)
    del root["consolidated_metadata"]
    (Path(store.url) / ROOT_KEY).write_text(json.dumps(root))
    with pytest.raises(StoreMismatchError, match=r"bring it back with zarr\.consolidate_metadata"):
        find_store(store.blobs)


@pytest.mark.parametrize(
    ("damage", "text"), [(None, "is missing"), (b"{", "is damaged"), (b"[" * 99_999, "is damaged")]
)
def test_a_step_of_growth_that_is_missing_or_damaged_is_named(store, damage, text):
    path = Path(store.url) / step_key(0)
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(StoreMismatchError, match=rf"{step_key(0)} {text}, without which the store cannot be continued"):
        load_spec(store.blobs)


def test_a_store_that_vanished_while_in_use_is_an_error(store):
    (Path(store.url) / ROOT_KEY).unlink()
    for call in (lambda: store.merge(0, all_pieces()), lambda: publish_status(store, 0)):
        with pytest.raises(StoreError, match="lost its root document while it was in use"):
            call()
    (Path(store.url) / step_key(0)).unlink()
    with pytest.raises(StoreError, match="was removed while it was in use"):
        store.grow(Growth(n_days=9))


# --- continuing ---


def test_continuing_with_other_settings_says_all_that_differs(store):
    other = replace(
        SELECTION,
        variables=(*SELECTION.variables[:1], *GUST),
        lead_minutes=(0, 60, 120),
        method="bilinear",
        cycles=(0,),
    )
    given = {"method", "lead-hours", "variables"}
    with pytest.raises(StoreMismatchError) as caught:
        check_same(store.spec, store.url, given, other, make_points(range(4, 7)))
    text = str(caught.value)
    assert "  method: the store has nearest, this run asks for bilinear" in text
    assert "  lead-hours: only asked for: 2 h" in text
    assert "  variables: only asked for: wind_gust_surface=" in text
    assert "hrrr-dask add-variables adds new ones" in text
    assert "  points: 2 of 3 are not in the store (p5, p6); hrrr-dask add-points adds new ones" in text
    assert "cycles" not in text, "what was not given follows the store"
    assert text.endswith("Leave a setting out, or repeat the store's own, to continue it; or write to another --store")


def test_some_of_the_stores_variables_and_points_in_any_order_continue_it(store):
    some = replace(SELECTION, variables=SELECTION.variables[::-1])
    check_same(store.spec, store.url, {"variables"}, some, make_points([3, 1]))
    check_same(store.spec, store.url, {"variables"}, replace(some, variables=some.variables[:1]), None)


def test_a_point_that_lies_elsewhere_in_the_store_is_refused(store):
    moved = make_points([0, 1])
    moved = Points(moved.point_id, moved.name, moved.latitude + np.array([0, 0.01]), moved.longitude)
    with pytest.raises(StoreMismatchError, match=r"1 of 2 are not in the store \(p1\); p1 lies elsewhere there"):
        check_same(store.spec, store.url, set(), SELECTION, moved)


WARMER = (replace(SELECTION.variables[0], selector=parse_variables(["TMP:surface"])[0].selector),)
"""The first variable's name, and another meaning."""


def test_a_variable_of_the_same_name_and_another_meaning_is_refused(store):
    other = replace(SELECTION, variables=WARMER)
    with pytest.raises(StoreMismatchError, match="variables: only asked for: temperature_2m=TMP:surface"):
        check_same(store.spec, store.url, {"variables"}, other, None)


OTHERS = {
    "axis": lambda spec: replace(spec, axis=Axis(datetime(2023, 1, 1), AXIS.cycles)),
    "layout": lambda spec: replace(spec, layout=Layout(2, 8, 2)),
    "leads": lambda spec: replace(spec, selection=replace(spec.selection, lead_minutes=(0, 120))),
    "meaning": lambda spec: replace(spec, selection=replace(spec.selection, variables=WARMER)),
    "points": lambda spec: replace(spec, cohorts=(replace(spec.cohorts[0], digest="0" * 16),)),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_a_writer_of_a_store_that_was_made_anew_is_stopped_before_it_writes(store, change):
    stale = Store(store.url, {}, change(store.spec))
    before = read_tree(store.url)
    for call in (lambda: stale.grow(Growth(n_days=9)), lambda: stale.merge(0, all_pieces())):
        with pytest.raises(StoreMismatchError, match="was replaced by another store since this command started"):
            call()
    assert read_tree(store.url) == before


@pytest.mark.parametrize("growth", [Growth(variables=GUST), Growth(points=make_points([5])), Growth(n_days=9)])
def test_a_writer_of_values_never_knows_more_than_readers_see(store, tmp_path, growth):
    ahead = Store(str(tmp_path / "t.zarr"), {}, make_spec()).make_or_grow(growth)
    stale = Store(store.url, {}, ahead.spec)
    before = read_tree(store.url)
    with pytest.raises(StoreMismatchError, match="was replaced by another store since this command started"):
        stale.merge(0, all_pieces())
    assert read_tree(store.url) == before


# --- growing ---


def grown_store(store: Store) -> Store:
    """Values of partition 0 are there, and the ledger says so."""
    store.merge(0, all_pieces())
    commit(store, *partition_outcomes())
    publish_status(store, 0)
    return store


MORE_POINTS = make_points(range(5, 8))
GROWTHS = {
    "days": Growth(n_days=400),
    "variables": Growth(variables=GUST),
    "points": Growth(points=make_points(range(5, 8))),
    "points of a new shard": Growth(points=make_points(range(5, 11))),
    "all": Growth(n_days=9, variables=GUST, points=make_points(range(5, 11))),
}


@pytest.mark.parametrize("growth", GROWTHS.values(), ids=GROWTHS)
def test_growing_keeps_what_was_written_and_readers_of_the_old_root_notice_nothing(store, growth):
    grown_store(store)
    with xr.open_zarr(store.url, chunks=None) as early:
        seen = early.load()
    late = xr.open_zarr(store.url, chunks=None)  # has read the root document, and none of the values
    before = read_tree(store.url)
    grown = store.grow(growth)
    after = read_tree(store.url)
    changed = {key for key in before if after[key] != before[key]}
    of_points = ("point_id/", "name/", "latitude/", "longitude/", "cell_")
    assert not [key for key in changed if "/c/" in key and not key.startswith(of_points)], "values and times stay"
    xr.testing.assert_identical(late.load(), seen)
    now = values_of(grown)
    np.testing.assert_array_equal(now[:8, :, :5], expected_values(NAMES[0], end=4))
    assert np.isnan(now[8:]).all()
    assert np.isnan(now[..., 5:]).all()


def test_growing_by_days_changes_only_documents(store):
    grown_store(store)
    before = read_tree(store.url)
    grown = store.grow(Growth(n_days=300))
    after = read_tree(store.url)
    assert {key for key in after if after[key] != before.get(key)} == {ROOT_KEY, step_key(1)} | {
        f"{name}/zarr.json" for name in ARRAYS
    }
    assert set(before) <= set(after)
    assert grown.spec.n_init == 600
    assert settings_in(root_of(grown))["n_days"] == 300


def test_earlier_days_are_asked_for_without_a_longer_axis(tmp_path):
    store = Store(str(tmp_path / "s.zarr"), {}, make_spec(asked_from=3)).make_or_grow(Growth())
    assert find_store(store.blobs).requested == slice(6, 8)
    assert store.grow(Growth(asked_from=1)).spec.asked_from == 1
    assert find_store(store.blobs).requested == slice(2, 8)
    before = read_tree(store.url)
    assert store.grow(Growth(asked_from=2)).spec.asked_from == 1
    assert read_tree(store.url) == before


def test_added_variables_and_points_are_there_and_empty(store):
    grown = grown_store(store).grow(Growth(variables=GUST, points=make_points([3, 5, 6])))
    assert grown.spec.cohort_sizes == (5, 7)
    assert [variable.name for variable in grown.spec.selection.variables] == [*NAMES, "wind_gust_surface"]
    with xr.open_zarr(store.url) as dataset:
        assert dataset.point_id.to_numpy().tolist() == [f"p{k}" for k in range(7)]
        assert dataset.sizes["point"] == 7
        assert np.isnan(dataset.wind_gust_surface).all()
        np.testing.assert_array_equal(dataset.cell_y, range(7))
    states = grown.value_states(slice(0, 8))
    assert states.first_point[0, :4].tolist() == [[5, 5]] * 4
    assert not states.whole.any()


def test_growing_never_shrinks_and_growing_to_the_same_writes_nothing(store, monkeypatch):
    store.grow(Growth(n_days=6, variables=GUST, points=make_points([5])))
    before = read_tree(store.url)
    for name in WRITES:
        monkeypatch.setattr(Blobs, name, lambda *_: pytest.fail("nothing has to be written"))
    for growth in (Growth(), Growth(n_days=1), Growth(n_days=6, variables=GUST), Growth(points=make_points([5, 2]))):
        assert store.grow(growth).spec.n_days == 6
    assert read_tree(store.url) == before


def test_a_store_that_grew_reads_as_if_it_had_been_made_so(store, tmp_path):
    store.grow(Growth(n_days=9))
    store.grow(Growth(variables=GUST))
    store.grow(Growth(points=make_points(range(5, 9))))
    variables = (*SELECTION.variables, *GUST)
    at_once = make_spec(n_days=9, n_points=9, selection=replace(SELECTION, variables=variables))
    straight = Store(str(tmp_path / "t.zarr"), {}, at_once).make_or_grow(Growth())
    grown, made = read_tree(store.url, ledger=False), read_tree(straight.url, ledger=False)
    assert {key for key in made if grown[key] != made[key]} == {ROOT_KEY}
    assert set(grown) == set(made)
    with xr.open_zarr(store.url) as one, xr.open_zarr(straight.url) as other:
        one.attrs.pop("hrrr_dask"), other.attrs.pop("hrrr_dask")
        xr.testing.assert_identical(one.load(), other.load())


@pytest.mark.parametrize("count", [1, 2, 5, 12, 20])
def test_a_growth_that_was_killed_is_finished_by_the_next(store, tmp_path, monkeypatch, count):
    growth = Growth(n_days=9, variables=GUST, points=MORE_POINTS)
    grown_store(store)
    with xr.open_zarr(store.url, chunks=None) as dataset:
        seen = dataset.load()
    assert killed_after(count, lambda: store.grow(growth), monkeypatch) == count
    assert settings_in(root_of(store))["growth"] == 0
    with xr.open_zarr(store.url, chunks=None) as dataset:
        xr.testing.assert_identical(dataset.load(), seen)
    store.merge(1, all_pieces(1))  # another writer, who has not heard of it
    finished = again(store).make_or_grow(Growth())
    assert finished.spec.growth == 1
    for name, document in root_of(store)["consolidated_metadata"]["metadata"].items():
        assert json.loads((Path(store.url) / name / "zarr.json").read_bytes()) == document, name
    np.testing.assert_array_equal(values_of(finished)[:8, :, :5], expected_values(NAMES[0]))


def shown_consistently(store: Store) -> None:
    root = root_of(store)
    for name, document in root["consolidated_metadata"]["metadata"].items():
        assert json.loads((Path(store.url) / name / "zarr.json").read_bytes()) == document, name


@pytest.mark.parametrize("at", [step_key(1), "init_time/zarr.json", "point_id/c/1", f"{NAMES[0]}/zarr.json", ROOT_KEY])
def test_two_that_grow_at_once_both_get_what_they_asked_for(store, monkeypatch, at):
    def other() -> None:
        Store(store.url, {}, store.spec).grow(Growth(n_days=7, points=make_points([6])))

    write = "put_new" if at == step_key(1) else "replace"
    keys = race_write(monkeypatch, write, other, lambda key: key == at)
    grown = store.grow(Growth(n_days=9, variables=GUST, points=make_points([5])))
    assert keys == [at]
    assert grown.spec.n_days == 9
    assert grown.spec.growth == 2
    assert set(grown.spec.points.point_id) == {f"p{k}" for k in range(7)}
    said = settings_in(root_of(store))
    assert (said["growth"], said["n_days"]) == (2, 9)
    assert said["variables"][-1].startswith("wind_gust_surface=")
    shown_consistently(store)
    with xr.open_zarr(store.url) as dataset:
        assert tuple(dataset.point_id.to_numpy()) == grown.spec.points.point_id


def test_who_is_overtaken_after_its_step_does_not_show_less_than_is_shown(store, monkeypatch):
    put_new = Blobs.put_new

    def overtaken(self, key, data):
        put_new(self, key, data)
        if key == step_key(1):
            Store(store.url, {}, store.spec).grow(Growth(n_days=9, points=make_points([5])))

    monkeypatch.setattr(Blobs, "put_new", overtaken)
    assert store.grow(Growth(n_days=6, variables=GUST)).spec.growth == 2
    assert settings_in(root_of(store))["growth"] == 2
    shown_consistently(store)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 20])
def test_who_is_overtaken_while_it_reads_never_puts_an_earlier_document_over_a_later_one(store, monkeypatch, count):
    monkeypatch.setattr(module, "AT_ONCE", 1)
    read, write, reads, lengths = Blobs.get_with_etag, Blobs._replace, [], []

    def overtaken(self, key):
        reads.append(key)
        if len(reads) == count:
            Store(store.url, {}, store.spec).grow(Growth(n_days=9))
        return read(self, key)

    def watched(self, key, data, etag):
        write(self, key, data, etag)
        if key == "init_time/zarr.json":
            lengths.append(json.loads(data)["shape"][0])

    monkeypatch.setattr(Blobs, "get_with_etag", overtaken)
    monkeypatch.setattr(Blobs, "_replace", watched)
    assert store.grow(Growth(n_days=6, variables=GUST)).spec.growth == 2
    assert len(reads) > count
    assert lengths == sorted(lengths)
    assert settings_in(root_of(store))["growth"] == 2
    shown_consistently(store)


def test_growing_gives_way_to_faster_writers_but_not_for_ever(store, monkeypatch):
    races = []

    def lose(self, key, data, etag):
        races.append(etag)
        raise StoreConflictError("another writer")

    monkeypatch.setattr(Blobs, "replace", lose)
    monkeypatch.setattr(contention, "_PAUSE_S", 0)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    monkeypatch.setattr(module, "TRIES", 4)
    with pytest.raises(StoreConflictError, match="is being grown by too many other commands: run the command again"):
        store.grow(Growth(n_days=9))
    assert len(races) >= 4


def test_attributes_that_users_gave_the_group_survive_growth(store):
    group = zarr.open_group(store.url, mode="r+")
    group.attrs["comment"] = "for the thesis"
    grown = store.grow(Growth(n_days=9, points=make_points([5])))
    root = root_of(grown)
    attributes = root["attributes"]
    assert attributes["comment"] == "for the thesis"
    assert attributes["title"] == "HRRR forecasts at 6 points"
    assert settings_in(root)["growth"] == 1
    with xr.open_zarr(store.url) as dataset:
        assert dataset.attrs["comment"] == "for the thesis"


@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.parametrize("growth", GROWTHS.values(), ids=GROWTHS)
def test_attributes_that_users_gave_to_arrays_survive_growth(store, growth, consolidated):
    told = {NAMES[0]: "checked", "latitude": "surveyed", "init_time": "UTC", "crs": "a sphere", "status": "see thesis"}
    plain = read_tree(store.url)
    group = zarr.open_group(store.url, mode="r+")
    for name, text in told.items():
        group[name].attrs.update({"remark": text, "long_name": "theirs"})
    if consolidated:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that consolidated metadata are not in Zarr's specification yet
            zarr.consolidate_metadata(store.url, zarr_format=3)
    assert len({key for key, data in read_tree(store.url).items() if data != plain[key]}) == len(told) + consolidated
    grown = store.grow(growth)
    shown_consistently(store)
    with xr.open_zarr(store.url) as dataset:
        for name, text in told.items():
            assert dataset[name].attrs["remark"] == text
            assert dataset[name].attrs["long_name"] != "theirs"
        assert "remark" not in dataset[NAMES[1]].attrs
    assert grown.grow(Growth(n_days=500)).spec.n_days == 500
    with xr.open_zarr(store.url) as dataset:
        assert {name: dataset[name].attrs["remark"] for name in told} == told


def test_an_attribute_that_an_array_is_given_while_the_store_grows_survives_too(store, monkeypatch):
    def other() -> None:
        zarr.open_group(store.url, mode="r+")[NAMES[0]].attrs["remark"] = "checked"

    keys = race_write(monkeypatch, "replace", other, lambda key: key == f"{NAMES[0]}/zarr.json")
    store.grow(Growth(n_days=9))
    assert keys
    shown_consistently(store)
    with xr.open_zarr(store.url) as dataset:
        assert dataset[NAMES[0]].attrs["remark"] == "checked"
        assert dataset.sizes["init_time"] == 18


@pytest.mark.parametrize("count", [1, 2, 5, 12, 20])
def test_a_growth_that_was_killed_keeps_the_attributes_that_users_gave(store, monkeypatch, count):
    zarr.open_group(store.url, mode="r+")[NAMES[0]].attrs["remark"] = "checked"
    growth = Growth(n_days=9, variables=GUST, points=MORE_POINTS)
    assert killed_after(count, lambda: store.grow(growth), monkeypatch) == count
    again(store).make_or_grow(Growth())
    shown_consistently(store)
    with xr.open_zarr(store.url) as dataset:
        assert dataset[NAMES[0]].attrs["remark"] == "checked"


def test_an_attribute_that_is_given_while_the_store_grows_survives_too(store, monkeypatch):
    def other() -> None:
        zarr.open_group(store.url, mode="r+").attrs["comment"] = "for the thesis"

    assert race_write(monkeypatch, "replace", other, lambda key: key == ROOT_KEY) == []
    grown = store.grow(Growth(n_days=9))
    assert root_of(grown)["attributes"]["comment"] == "for the thesis"
    assert settings_in(root_of(grown))["n_days"] == 9


# --- values ---


def test_values_come_back_bit_for_bit_where_they_belong(store):
    written, already = store.merge(1, all_pieces(1))
    assert written > 0
    assert already == set()
    for name in NAMES:
        np.testing.assert_array_equal(values_of(store, name), expected_values(name, begin=4))


def test_one_object_a_variable_and_block_of_points_is_written(store):
    before = set(read_tree(store.url))
    store.merge(1, all_pieces(1))
    assert set(read_tree(store.url)) - before == {f"{name}/c/1/0/{block}" for name in NAMES for block in (0, 1)}


def test_only_shards_of_what_was_read_are_touched(store):
    store.merge(0, all_pieces(names=NAMES[1:], points=(4, 5)))
    assert [key for key in read_tree(store.url) if "/c/0/0/" in key] == [f"{NAMES[1]}/c/0/0/1"]


def test_writing_again_writes_nothing(store, monkeypatch):
    store.merge(0, all_pieces())
    for name in WRITES:
        monkeypatch.setattr(Blobs, name, lambda *_: pytest.fail("nothing has to be written"))
    assert store.merge(0, all_pieces()) == (0, set())


def test_what_is_read_step_by_step_is_what_is_read_at_once(store, tmp_path):
    other = Store(str(tmp_path / "t.zarr"), {}, make_spec()).make_or_grow(Growth())
    store.merge(0, all_pieces())
    for name, own in all_pieces().items():
        for one in reversed(own):
            other.merge(0, {name: [one]})
    assert read_tree(store.url) == read_tree(other.url)


def test_values_stay_and_a_gap_never_hides_one(store):
    store.merge(0, all_pieces())
    before = read_tree(store.url)
    gaps = {name: [piece(name, row, 1, complete=False) for row in range(SPAN)] for name in NAMES}
    written, already = store.merge(0, gaps)
    assert written == 0
    assert already == {(name, row) for name in NAMES for row in range(SPAN)}
    assert read_tree(store.url) == before


def test_only_gaps_all_of_whose_values_are_there_are_called_so(store):
    name = NAMES[0]
    store.merge(0, {name: [piece(name, 0, 0), piece(name, 1, 0, points=(0, 4)), piece(name, 2, 0, points=(4, 5))]})
    gaps = [piece(name, row, 0, complete=False) for row in range(SPAN)]
    assert store.merge(0, {name: gaps})[1] == {(name, 0)}
    late = [piece(name, row, 0, points=(4, 5), complete=False) for row in range(SPAN)]
    assert store.merge(0, {name: late})[1] == {(name, 0), (name, 2)}
    complete = [piece(name, 0, 0), piece(name, 3, 0, complete=False)]
    assert store.merge(0, {name: complete})[1] == set(), "what has values now is no gap"


def test_a_shard_of_nothing_but_gaps_is_an_object_all_the_same(store):
    name = NAMES[0]
    written, already = store.merge(0, {name: [piece(name, 0, 0, complete=False)]})
    assert written > 0
    assert already == set()
    assert {key for key in read_tree(store.url) if key.startswith(f"{name}/c/")} == {
        f"{name}/c/0/0/0",
        f"{name}/c/0/0/1",
    }
    assert np.isnan(values_of(store)).all()
    assert store.merge(0, {name: [piece(name, 0, 0, complete=False)]}) == (0, set())
    store.merge(0, all_pieces())
    np.testing.assert_array_equal(values_of(store), expected_values(name, end=4))


def test_the_last_partition_may_reach_beyond_the_end(tmp_path):
    store = Store(str(tmp_path / "s.zarr"), {}, make_spec(n_days=3)).make_or_grow(Growth())
    store.merge(1, all_pieces(1))
    np.testing.assert_array_equal(values_of(store), expected_values(NAMES[0], begin=4, n_init=6))
    grown = store.grow(Growth(n_days=4))
    np.testing.assert_array_equal(values_of(grown), expected_values(NAMES[0], begin=4))


@pytest.mark.parametrize("block", [0, 1])
def test_a_second_writer_between_read_and_write_is_merged(store, monkeypatch, block):
    name = NAMES[0]
    store.merge(0, {name: [piece(name, 0, 0)]})
    other = Store(store.url, {}, store.spec)
    keys = race_write(
        monkeypatch,
        "replace",
        lambda: other.merge(0, {name: [piece(name, 1, 0), piece(name, 2, 1)]}),
        lambda key: key == f"{name}/c/0/0/{block}",
    )
    store.merge(0, {name: [piece(name, 2, 0), piece(name, 3, 1)]})
    assert keys
    found = values_of(store)[:4]
    places = {(0, 0), (1, 0), (2, 1), (2, 0), (3, 1)}
    for place in np.ndindex(4, 2):
        expected = values_at(name, *place, np.arange(5)) if place in places else np.full(5, np.nan)
        np.testing.assert_array_equal(found[place], expected)


def test_a_second_writer_that_makes_the_shard_first_is_merged(store, monkeypatch):
    name = NAMES[0]
    other = Store(store.url, {}, store.spec)
    key = f"{name}/c/0/0/0"
    keys = race_write(monkeypatch, "put_new", lambda: other.merge(0, {name: [piece(name, 1, 0)]}), key.__eq__)
    store.merge(0, {name: [piece(name, 2, 0)]})
    assert keys == [key]
    assert np.isfinite(values_of(store)[:4, 0]).all(axis=1).tolist() == [False, True, True, False]


def test_a_gap_that_another_writer_fills_meanwhile_is_seen_as_filled(store, monkeypatch):
    name = NAMES[0]
    store.merge(0, {name: [piece(name, 3, 0)]})
    other = Store(store.url, {}, store.spec)
    monkeypatch.setattr(module, "SHARDS_AT_ONCE", 1)  # the other comes before the second shard is read
    race_write(monkeypatch, "replace", lambda: other.merge(0, {name: [piece(name, 1, 0)]}))
    pieces = [piece(name, 1, 0, complete=False), piece(name, 2, 0)]
    assert store.merge(0, {name: pieces})[1] == {(name, 0)}


def test_writers_that_are_always_slower_give_up_with_a_reason(store, monkeypatch):
    def lose(self, key, data):
        raise StoreConflictError("another writer")

    monkeypatch.setattr(Blobs, "put_new", lose)
    monkeypatch.setattr(contention, "_PAUSE_S", 0)
    with pytest.raises(
        StoreConflictError, match="c/0/0/0 is being written by too many other commands: run the command again"
    ):
        store.merge(0, all_pieces())
    commit_free = Store(store.url, {}, store.spec)
    with pytest.raises(StoreConflictError, match="status/c/0/0 is being written by too many other commands"):
        publish_status(commit_free, 0)


def test_a_writer_that_knew_fewer_points_and_variables_harms_nothing(store):
    stale = again(store)
    grown = store.grow(Growth(variables=GUST, points=make_points(range(5, 11)), n_days=6))
    names = (*NAMES, "wind_gust_surface")
    grown.merge(0, all_pieces(names=names, points=(0, 11)))
    seen = {name: values_of(grown, name) for name in names}
    stale.merge(0, all_pieces())
    stale.merge(0, {NAMES[0]: [piece(NAMES[0], 0, 0, complete=False)]})
    for name in names:
        np.testing.assert_array_equal(values_of(grown, name), seen[name])
        np.testing.assert_array_equal(seen[name], expected_values(name, 11, 12, end=4))
    stale.merge(1, all_pieces(1))
    found = values_of(grown)
    np.testing.assert_array_equal(found[4:8, :, :5], expected_values(NAMES[0], begin=4)[4:])
    assert np.isnan(found[4:8, :, 5:]).all()


def test_values_of_added_points_join_those_that_are_there(store):
    store.merge(0, all_pieces())
    grown = store.grow(Growth(points=make_points(range(5, 11))))
    before = read_tree(store.url)
    grown.merge(0, all_pieces(points=(5, 11)))
    after = read_tree(store.url)
    assert {key for key in after if after[key] != before.get(key)} == {
        f"{name}/c/0/0/{block}" for name in NAMES for block in (1, 2)
    }, "the shard without new points is left alone"
    np.testing.assert_array_equal(values_of(grown), expected_values(NAMES[0], 11, end=4))


DAMAGES = {
    "empty": lambda data: data[:0],
    "short": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "its table": lambda data: data[:-10] + bytes(10),
    "its values": lambda data: bytes(32) + data[32:],
    "noise": lambda data: bytes(range(256)) * (len(data) // 256 + 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_shard_is_named_with_what_to_remove(store, damage):
    store.merge(1, all_pieces(1))
    path = Path(store.url) / f"{NAMES[0]}/c/1/0/0"
    path.write_bytes(damage(path.read_bytes()))
    text = (
        rf"the shard .*{NAMES[0]}/c/1/0/0 cannot be read: .*Remove it and the ledger's entries below .*ledger/000001 "
    )
    with pytest.raises(StoreError, match=text):
        store.merge(1, all_pieces(1))


def test_a_bit_that_flipped_anywhere_in_a_shard_is_noticed(store):
    pieces = all_pieces(1)
    store.merge(1, pieces)
    document = store.existing().documents[NAMES[0]]
    good = (Path(store.url) / f"{NAMES[0]}/c/1/0/0").read_bytes()
    whole = decode_shard(document, good)
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        with pytest.raises((ValueError, RuntimeError)):
            decode_shard(document, bytes(bad))
    assert decode_shard(document, good).tobytes() == whole.tobytes()


# --- the ledger ---


def test_all_outcomes_of_a_store_are_folded(store):
    commit(store, *partition_outcomes(0, {NAMES[1]: "truncated"}))
    codes = store.value_states(slice(0, 8)).codes
    assert codes.shape == (2, 8, 2)
    assert codes[0].tolist() == [[COMPLETE] * 2] * 4 + [[NOT_INGESTED] * 2] * 4
    assert codes[1].tolist() == [[NOT_OFFERED, TRUNCATED]] * 4 + [[NOT_OFFERED, NOT_INGESTED]] * 4


def test_the_ledger_and_the_locks_do_not_show_up_in_zarr(store):
    commit(store, *partition_outcomes())
    store.grow(Growth(n_days=9))
    group = zarr.open_group(store.url, mode="r")
    assert ".hrrr" not in list(group.keys())
    assert len(to_dataframe(store.url)) == 12
    assert store.ledger.compact(datetime(2024, 6, 1) + timedelta(days=1)) == (1, 1)


def test_writers_and_growers_at_once_end_with_all_that_any_of_them_brought(store):
    pieces = [(name, one) for name, own in all_pieces().items() for one in own]
    tasks: list[Callable[[Store], object]] = [
        *(lambda own, name=name, one=one: own.merge(0, {name: [one]}) for name, one in pieces),
        lambda own: own.grow(Growth(points=make_points(range(5, 8)))),
        lambda own: own.grow(Growth(n_days=9, variables=GUST)),
        lambda own: publish_status(own, 0),
    ]
    with ThreadPoolExecutor(len(tasks)) as pool:
        list(pool.map(lambda task: task(Store(store.url, {}, store.spec)), tasks))
    for name in NAMES:
        found = values_of(store, name)
        np.testing.assert_array_equal(found[:8, :, :5], expected_values(name, end=4))
        assert np.isnan(found[..., 5:]).all()
    grown = again(store)
    assert (grown.spec.growth, grown.spec.n_days, len(grown.spec.points)) == (2, 9, 8)
    assert settings_in(root_of(store))["growth"] == 2
    shown_consistently(store)
