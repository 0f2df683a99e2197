"""Shards are merged at the same time, within the memory that is meant for them, and errors wait for the others."""

from __future__ import annotations

import threading
import time

import pytest
from support.specs import NAMES, all_pieces, make_spec, piece, read_tree

from hrrr_dask.errors import StoreAccessError
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.planning.memory import MERGE_COPIES
from hrrr_dask.store import concurrency
from hrrr_dask.store import store as module
from hrrr_dask.store.concurrency import MemoryBudget, run_together
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store

PATIENCE_S = 20
SHARDS = [f"{name}/c/0/0/{block}" for name in NAMES for block in (0, 1)]


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "s.zarr"), {}, make_spec()).make_or_grow(Growth())


def shards_of(store: Store) -> set[str]:
    return {key for key in read_tree(store.url) if "/c/0/0/" in key}


def watched(monkeypatch, method, before=lambda _: None, after=lambda _: None):
    """Have two functions called around each request for a shard."""
    original = getattr(Blobs, method)

    def call(self, key, *others):
        if "/c/0/0" not in key:
            return original(self, key, *others)
        before(key)
        answer = original(self, key, *others)
        after(key)
        return answer

    monkeypatch.setattr(Blobs, method, call)


def test_all_shards_of_a_merge_are_read_and_written_at_the_same_time(store, monkeypatch):
    readers, writers = (threading.Barrier(len(SHARDS), timeout=PATIENCE_S) for _ in range(2))
    watched(monkeypatch, "get_with_etag", before=lambda _: readers.wait())
    watched(monkeypatch, "put_new", before=lambda _: writers.wait())
    store.merge(0, all_pieces())
    assert shards_of(store) == set(SHARDS)


def test_a_merge_gives_the_same_bytes_and_answers_as_one_shard_after_the_other(store, tmp_path, monkeypatch):
    gaps = {name: [*own, piece(name, 3, 1, complete=False)] for name, own in all_pieces().items()}
    found = [store.merge(0, all_pieces()), store.merge(0, gaps)]
    monkeypatch.setattr(module, "SHARDS_AT_ONCE", 1)
    other = Store(str(tmp_path / "t.zarr"), {}, make_spec()).make_or_grow(Growth())
    assert found == [other.merge(0, all_pieces()), other.merge(0, gaps)]
    assert found[1][1], "gaps whose values are there are named"
    assert read_tree(store.url) == read_tree(other.url)


def test_shards_that_get_no_new_value_are_not_written(store, monkeypatch):
    store.merge(0, all_pieces())
    store.merge(0, {NAMES[1]: [piece(NAMES[1], 0, 0)]})
    changed = {name: list(own) for name, own in all_pieces().items()}
    changed[NAMES[1]].append(piece(NAMES[1], 2, 0, points=(4, 5)))
    before, written = read_tree(store.url), []
    for method in ("put", "put_new", "replace"):
        watched(monkeypatch, method, before=written.append)
    n_bytes, _ = store.merge(0, changed)
    after = read_tree(store.url)
    different = [key for key in after if after[key] != before.get(key)]
    assert written == different
    assert set(written) <= {f"{NAMES[1]}/c/0/0/1"}
    assert n_bytes == sum(len(after[key]) for key in written)


def test_shards_wait_for_memory(store, monkeypatch):
    whole = MERGE_COPIES * store.spec.span * 2 * store.spec.layout.shard_points * 4
    now, most, lock = [0], [0], threading.Lock()

    def step(by):
        with lock:
            now[0] += by
            most[0] = max(most[0], now[0])

    watched(monkeypatch, "get_with_etag", before=lambda _: step(1))
    watched(monkeypatch, "put_new", after=lambda _: step(-1))
    monkeypatch.setattr(module, "MERGE_MEMORY", MemoryBudget(2 * whole))
    store.merge(0, all_pieces())
    assert most[0] <= 2
    assert now[0] == 0


def test_what_is_larger_than_the_budget_has_it_alone():
    budget, inside, order = MemoryBudget(10), threading.Event(), []

    def large():
        with budget.reserve(50):
            order.append("large")

    with budget.reserve(4):
        thread = threading.Thread(target=large)
        thread.start()
        assert not inside.wait(0.05)
        with budget.reserve(6):
            order.append("small")
    thread.join(PATIENCE_S)
    assert order == ["small", "large"]


def test_memory_is_given_back_after_an_error():
    budget = MemoryBudget(10)

    def fail():
        with budget.reserve(10):
            raise RuntimeError("no")

    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"):
            fail()


def begun_after_the_end(begun: list[str]) -> list[str]:
    n_begun = len(begun)
    time.sleep(0.1)
    return begun[n_begun:]


def test_an_error_is_raised_when_the_others_have_ended_and_nothing_begins_after_it(store, monkeypatch):
    begun, ended, failed = [], [], threading.Event()
    monkeypatch.setattr(module, "SHARDS_AT_ONCE", 2)

    def begin(key):
        begun.append(key)
        if key == SHARDS[0]:
            failed.set()
            raise StoreAccessError("the bucket is closed")
        assert failed.wait(PATIENCE_S)

    watched(monkeypatch, "put_new", before=begin, after=ended.append)
    with pytest.raises(StoreAccessError, match="the bucket is closed"):
        store.merge(0, all_pieces())
    assert begun_after_the_end(begun) == [], "nothing writes any more"
    assert set(ended) == set(begun) - {SHARDS[0]}
    assert shards_of(store) == set(ended), "whole shards or none"
    monkeypatch.undo()
    store.merge(0, all_pieces())
    assert shards_of(store) == set(SHARDS)


def test_calls_that_have_not_begun_are_dropped_after_an_error():
    begun = []

    def work(item):
        begun.append(item)
        if item == 0:
            raise ValueError("first")
        return item

    with pytest.raises(ValueError, match="first"):
        run_together(work, range(1000), 1)
    assert begun == [0]
    begun.clear()
    gate = threading.Event()

    def held(item):
        begun.append(item)
        if item == 0:
            raise ValueError("first")
        gate.wait(0.2)
        return item

    with pytest.raises(ValueError, match="first"):
        run_together(held, range(1000), 4)
    assert len(begun) <= 8, "four at once, and those that began before the error was noticed"


def test_results_are_in_the_order_of_the_items():
    assert run_together(lambda n: n * n, range(100), 8) == [n * n for n in range(100)]
    assert run_together(lambda n: n, [], 8) == []
    assert concurrency.SHARDS_AT_ONCE > 1
