"""What ``status`` and ``available_at`` show is what the ledger says, whoever is the last to write them."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from support.specs import NAMES, commit, make_points, make_spec, outcome, partition_outcomes, race_write

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.outcomes import COMPLETE, NEVER, NOT_INGESTED, OUTCOMES, PARTIAL
from hrrr_dask.store.existing import load_spec
from hrrr_dask.store.published import find_stale_status, publish_status, repair_status
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store

TRUNCATED = OUTCOMES["truncated"].number
GUST = parse_variables(["wind_gust_surface"])


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "s.zarr"), {}, make_spec()).make_or_grow(Growth())


def status_of(store: Store, name: str = "status") -> np.ndarray:
    return np.asarray(zarr.open_group(store.url, mode="r")[name][...])


PUBLISHED = 1704070923
"""Of what the helpers commit."""


def test_what_the_ledger_says_is_shown(store):
    commit(store, *partition_outcomes(0, {NAMES[1]: "truncated"}))
    commit(store, *partition_outcomes(1)[:3], partition=1)
    assert publish_status(store, 0) > 0
    assert publish_status(store, 1) > 0
    status = status_of(store)
    assert status[:4].tolist() == [[COMPLETE, TRUNCATED]] * 4
    assert status[4:].tolist() == [[COMPLETE, COMPLETE], [COMPLETE, NOT_INGESTED], *[[NOT_INGESTED] * 2] * 2]
    available = status_of(store, "available_at")
    assert (available[:4] == PUBLISHED).all()
    assert available[4:].tolist() == [[PUBLISHED] * 2, [PUBLISHED, NEVER], *[[NEVER] * 2] * 2]


def test_the_quality_of_a_file_has_the_flags_of_all_its_variables_and_points(store):
    dry, dark = {NAMES[0]: 4}, {NAMES[1]: 1, NAMES[0]: 8}
    commit(store, outcome(0, 1, flags=dry), outcome(1, 0, {NAMES[0]: "truncated"}, NAMES[:1]), outcome(2, 1))
    commit(store, outcome(0, 1, points=(5, 7), flags=dark), second=1)
    publish_status(store, 0)
    assert status_of(store, "quality")[:3].tolist() == [[0, 13], [0, 0], [0, 0]]
    said = zarr.open_group(store.url, mode="r")["quality"].attrs
    assert dict(zip(said["flag_meanings"].split(), said["flag_masks"], strict=True))["moisture-sentinel"] == 4


def test_showing_what_is_shown_already_writes_nothing(store, monkeypatch):
    commit(store, *partition_outcomes())
    publish_status(store, 0)
    for name in ("put", "put_new", "replace"):
        monkeypatch.setattr(Blobs, name, lambda *_: pytest.fail("nothing has to be written"))
    assert publish_status(store, 0) == 0


@pytest.mark.parametrize("name", ["available_at", "status"])
def test_who_shows_the_status_last_has_read_every_entry_that_was_there(store, monkeypatch, name):
    first, *rest = partition_outcomes()
    commit(store, first, second=0)
    publish_status(store, 0)
    commit(store, rest[0], second=1)

    def other() -> None:
        commit(store, *rest[1:], second=2, job="other")
        publish_status(Store(store.url, {}, store.spec), 0)

    keys = race_write(monkeypatch, "replace", other, lambda key: key.startswith(name))
    publish_status(store, 0)
    assert keys
    assert (status_of(store)[:4] == COMPLETE).all()
    assert (status_of(store, "available_at")[:4] == PUBLISHED).all()


@pytest.mark.parametrize("shown", [False, True])
def test_who_is_overtaken_while_it_reads_the_ledger_does_not_show_less_than_is_shown(store, monkeypatch, shown):
    first, *rest = partition_outcomes()
    commit(store, first, second=0)
    if shown:
        publish_status(store, 0)
    tables, calls = Ledger.tables, []

    def overtaken(self, *arguments):
        rows = list(tables(self, *arguments))
        calls.append(len(rows))
        if len(calls) == 1:
            commit(store, *rest, second=1)
            publish_status(Store(store.url, {}, store.spec), 0)
        return iter(rows)

    monkeypatch.setattr(Ledger, "tables", overtaken)
    publish_status(store, 0)
    assert calls[:2] == [1, 2]
    assert (status_of(store)[:4] == COMPLETE).all()


def test_a_writer_that_knew_fewer_variables_and_points_shows_what_all_of_them_say(store):
    stale = Store(store.url, {}, load_spec(store.blobs))
    grown = store.grow(Growth(variables=GUST))
    commit(stale, *partition_outcomes())
    publish_status(stale, 0)
    assert (status_of(store)[:4] == PARTIAL).all()
    commit(grown, *[outcome(k, lead, {}, ("wind_gust_surface",)) for k in range(4) for lead in (0, 1)], second=9)
    publish_status(stale, 0)
    assert (status_of(store)[:4] == COMPLETE).all()
    store.grow(Growth(points=make_points(range(5, 8))))
    publish_status(stale, 0)
    assert (status_of(store)[:4] == PARTIAL).all()


@pytest.mark.parametrize("what", ["variables", "points"])
def test_who_is_overtaken_by_growth_does_not_show_less_than_is_shown(store, monkeypatch, what):
    commit(store, *partition_outcomes())
    stale, existing, others = Store(store.url, {}, store.spec), Store.existing, []

    def overtaken(self):
        found = existing(self)
        if not others:
            others.append("comes")
            if what == "variables":
                grown = store.grow(Growth(variables=GUST))
                commit(grown, outcome(0, 0, {"wind_gust_surface": "truncated"}, ("wind_gust_surface",)), second=1)
            else:
                grown = store.grow(Growth(points=make_points(range(5, 8))))
                commit(grown, outcome(0, 0, {NAMES[0]: "truncated"}, NAMES[:1], (5, 8)), second=1)
            publish_status(grown, 0)
            others.append(status_of(store)[:4].tolist())
        return found

    monkeypatch.setattr(Store, "existing", overtaken)
    publish_status(stale, 0)
    assert others[1] == [[TRUNCATED, PARTIAL], *[[PARTIAL, PARTIAL]] * 3]
    assert status_of(store)[:4].tolist() == others[1]


def test_partitions_whose_status_is_not_what_the_ledger_says_are_found(store):
    inits = slice(0, 8)
    assert find_stale_status(store, store.value_states(inits), inits) == []
    commit(store, *partition_outcomes(1), partition=1)
    assert find_stale_status(store, store.value_states(inits), inits) == [1]
    assert find_stale_status(store, store.value_states(slice(0, 4)), slice(0, 4)) == []
    assert find_stale_status(store, store.value_states(slice(4, 8)), slice(4, 8)) == [1]
    publish_status(store, 1)
    assert find_stale_status(store, store.value_states(inits), inits) == []
    grown = store.grow(Growth(variables=GUST))
    assert find_stale_status(grown, grown.value_states(inits), inits) == [1]
    publish_status(grown, 1)
    assert find_stale_status(grown, grown.value_states(inits), inits) == []


def test_a_status_that_lags_behind_is_mended_and_others_are_left_alone(store, monkeypatch):
    commit(store, *partition_outcomes(1), partition=1)
    assert (repair_status(store, slice(0, 4)).codes == store.value_states(slice(0, 4)).codes).all()
    assert (status_of(store) == NOT_INGESTED).all()
    assert (repair_status(store, slice(0, 8)).codes == store.value_states(slice(0, 8)).codes).all()
    assert (status_of(store)[4:] == COMPLETE).all()
    monkeypatch.setattr(Blobs, "replace", lambda *_: pytest.fail("nothing has to be written"))
    repair_status(store, slice(0, 8))
