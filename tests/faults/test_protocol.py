"""The write protocol under an adversary: the steps of several writers in any order, with kills and lost responses.

The writers are the package's own code. Each of their requests to the store waits for the adversary, which executes
one at a time, in an order that Hypothesis chooses and shrinks. It can kill a writer before or after a request, or
execute the request and lose the response. The store behaves like an S3 bucket: an entity tag is a digest of the
bytes, so that the same bytes have the same tag again. After each change, everything that was committed is checked.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError
from support.outcomes import hourly_outcome

from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import ConfigError, PointsError
from hrrr_dask.grid.definition import find_nearest_cells, read_grid
from hrrr_dask.grid.points import Points
from hrrr_dask.job.pipeline import Job, write_partition
from hrrr_dask.ledger import ledger
from hrrr_dask.objects import objects as blobs
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.records import Extract, GribFile, Origin, Partition, Reading
from hrrr_dask.store import conditional_writes as contention
from hrrr_dask.store import published as showing
from hrrr_dask.store import store
from hrrr_dask.store.existing import find_store, load_spec
from hrrr_dask.store.published import find_stale_status
from hrrr_dask.store.shards import decode_shard
from hrrr_dask.store.spec import Growth, StoreSpec
from hrrr_dask.store.store import Store
from hrrr_dask.testing import DEFAULT_WINDOW

NAMES = ("temperature_2m", "dewpoint_2m")
SELECTION = Selection(parse_variables(NAMES[:1]), (60, 120), (0, 12))
LAYOUT = Layout(partition_days=1, shard_points=2, chunk_points=1)
FILES = [GribFile(datetime(2024, 1, 1, cycle), lead) for cycle in (0, 12) for lead in (1, 2)]


# A bucket, and who is allowed to ask it next


class KillError(BaseException):
    """Simulates SIGKILL."""


class Bucket:
    """The part of obstore that the package uses, on a dictionary; each call waits for the adversary."""

    def __init__(self):
        self.objects = {}
        self.gate = lambda work: work()
        self.changed = lambda: None
        self.run_together = lambda work, items, _: [work(item) for item in items]

    def together(self, work, items, at_once):
        return self.run_together(work, items, at_once)

    def put(self, _, key, data, *, mode="overwrite", use_multipart=False):
        def work():
            if mode == "create" and key in self.objects:
                raise AlreadyExistsError(key)
            if isinstance(mode, dict) and self._tag(key) != mode["e_tag"]:
                raise PreconditionError(key)
            self.objects[key] = bytes(data)
            self.changed()

        self.gate(work)

    def get(self, _, key):
        data, tag = self.gate(lambda: (self._known(key), self._tag(key)))
        return SimpleNamespace(bytes=lambda: data, meta={"e_tag": tag})

    def head(self, _, key):
        return self.gate(lambda: {"e_tag": self._known(key) and self._tag(key)})

    def list(self, _, prefix, offset=None):
        keys = self.gate(lambda: [key for key in sorted(self.objects) if key.startswith(f"{prefix}/")])
        return [[{"path": key} for key in keys if offset is None or key > offset]]

    def list_with_delimiter(self, _):
        return self.gate(lambda: {"common_prefixes": {key.split("/")[0] for key in self.objects}, "objects": []})

    def open_reader(self, _, key):
        return io.BytesIO(self.gate(lambda: self._known(key)))

    def delete(self, _, keys):
        self.gate(lambda: [self.objects.pop(key, None) for key in keys])

    def _known(self, key):
        if key not in self.objects:
            raise FileNotFoundError(key)
        return self.objects[key]

    def _tag(self, key):
        return f'"{hashlib.md5(self.objects[key]).hexdigest()}"' if key in self.objects else None


class Adversary:
    """Runs actors in threads, one request at a time. An actor may have several threads, which a kill ends together."""

    def __init__(self, bucket, random, *, kills):
        self.bucket, self.random, self.kills = bucket, random, kills
        self.turn = threading.Condition()
        self.waiting, self.chosen, self.done = set(), None, {}
        self.actors, self.killed = {}, set()
        bucket.gate, bucket.run_together = self.gate, self.run_together

    def gate(self, work):
        me = threading.current_thread()
        if me not in self.done:
            return work()  # the adversary's own access to the store
        with self.turn:
            self.waiting.add(me)
            self.turn.notify_all()
            self.turn.wait_for(lambda: self.chosen is not None and self.chosen[0] == me)
            _, what = self.chosen
            self.chosen = None
            self.waiting.discard(me)
            actor = self.actors[me]
            if actor in self.killed or what == "kill before":
                self.killed.add(actor)
                raise KillError
        answer = work()
        if what == "kill after":
            self.killed.add(actor)
            raise KillError
        if what == "lose the answer":
            raise GenericError("connection reset")
        return answer

    def run_together(self, work, items, at_once):
        """Call a function for each item in a thread of its own, whose requests wait for the adversary, too."""
        me = threading.current_thread()
        if me not in self.done or at_once == 1:
            return [work(item) for item in items]
        ended, left = {}, [len(items)]

        def end():
            left[0] -= 1
            self.done[me] = left[0] > 0

        with self.turn:
            self.done[me] = True  # it makes no request until they have ended
            actor = self.actors[me]
            threads = [self._start(ended, k, partial(work, item), actor, end) for k, item in enumerate(items)]
        for thread in threads:
            thread.join(timeout=60)
        answers = [ended[k] for k in range(len(items))]
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return answers

    def _start(self, ended, name, action, actor, end=lambda: None):
        def act():
            try:
                ended[name] = action()
            except BaseException as error:  # noqa: BLE001  the exception is the result
                ended[name] = error
            finally:
                with self.turn:
                    self.done[thread] = True
                    end()
                    self.turn.notify_all()

        thread = threading.Thread(target=act, daemon=True)
        with self.turn:
            self.done[thread], self.actors[thread] = False, actor
        thread.start()
        return thread

    def run(self, actions):
        """Run the actions; returns for each its value, or the exception that it raised."""
        ended = {}
        threads = [self._start(ended, name, action, name) for name, action in actions.items()]
        while True:
            with self.turn:
                assert self.turn.wait_for(self._settled, timeout=60), "an actor hangs"
                ready = sorted(self.waiting, key=list(self.done).index)
                if not ready:
                    break
                self.chosen = (self.random.choice(ready), self._mischief())
                self.turn.notify_all()
                self.turn.wait_for(lambda: self.chosen is None, timeout=60)
        for thread in threads:
            thread.join(timeout=60)
        self.done.clear()
        return ended

    def _settled(self):
        running = [me for me, over in self.done.items() if not over and me not in self.waiting]
        return not running and self.chosen is None

    def _mischief(self):
        if not self.kills or self.random.random() > 0.06:
            return "carry out"
        return self.random.choice(["kill before", "kill after", "lose the answer"])


class Serial:
    """An executor that leaves the order of requests to the adversary."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    map = staticmethod(map)


# What the archive says, and what has been promised of it


def truth(variable, file, point):
    """The only correct value."""
    return np.float32(1000 * NAMES.index(variable) + 100 * FILES.index(file) + point)


def points(n, prefix="p"):
    latitude, longitude = DEFAULT_WINDOW.latlon(np.arange(n) + 1, np.arange(n) + len(prefix))
    ids = tuple(f"{prefix}{k}" for k in range(n))
    return Points(ids, ids, latitude, longitude)


def new_spec(*, wide=False):
    """A store of one shard in a partition, or of two variables with two shards each."""
    section = DEFAULT_WINDOW.section3()
    places = points(3 if wide else 1)
    return StoreSpec(
        selection=replace(SELECTION, variables=parse_variables(NAMES)) if wide else SELECTION,
        points=places,
        cells=find_nearest_cells(read_grid(section), places.latitude, places.longitude),
        grid_section=section,
        layout=LAYOUT,
        axis=Axis(datetime(2024, 1, 1), SELECTION.cycles),
        asked_from=0,
        n_days=1,
        package_version="1",
        sources=("aws",),
    )


def job_of(spec, name):
    return Job(name, spec, "s3://bucket/x", (), (), FetchSettings(), "eccodes", 0, "1")


def commit(spec, name, files, gaps=()):
    """Write what a reader with that specification read from files, some of them with gaps."""
    names = tuple(variable.name for variable in spec.selection.variables)
    extracts = []
    for file in files:
        there = file not in gaps
        values = [[truth(v, file, p) if there else np.nan for p in range(len(spec.points))] for v in names]
        outcome = hourly_outcome(
            file,
            names,
            {} if there else dict.fromkeys(names, "unreachable"),
            origin=Origin(published=datetime(2024, 1, 2)),
            n_points=len(spec.points),
        )
        extracts.append(Extract(np.array(values, np.float32), outcome))
    partition = Partition(0, tuple(Reading(file, names) for file in files))
    return write_partition(partition, extracts, job_of(spec, name))


class Watch:
    """Checks after each change of the bucket everything that is committed at that moment."""

    def __init__(self, bucket):
        self.bucket = bucket
        self.looks = 0
        bucket.changed = self.look

    def look(self):
        gate, self.bucket.gate, self.bucket.changed = self.bucket.gate, lambda work: work(), lambda: None
        try:
            self._look()
        finally:
            self.bucket.gate, self.bucket.changed = gate, self.look
        self.looks += 1

    def _look(self):
        here = blobs.Blobs("s3://bucket/x", {})
        existing = find_store(here)
        if existing is None:
            return
        n = existing.n_points
        ids = decode_shard(existing.documents["point_id"], here.get("point_id/c/0"))[:n] if n <= 2 else None
        assert ids is None or all(ids), "a reader sees a point without an id"
        shards = {}
        for name in existing.documents:
            if name in NAMES:
                shards[name] = self._values(here, existing, name)
                right = [[[truth(name, file_at(i, k), p) for p in range(n)] for k in (0, 1)] for i in (0, 1)]
                seen = shards[name][:, :, :n]
                assert (np.isnan(seen) | (seen == np.array(right))).all(), "a value is wrong"
        for row in ledger.Ledger(here).read().to_pylist():
            if row["outcome"] == "complete":
                at = ((0, 12).index(row["init_time"].hour), row["lead_hours"] - 1)
                own = shards[row["variable"]][at][row["first_point"] : row["n_points"]]
                assert np.isfinite(own).all(), "the ledger promises what is not there"

    @staticmethod
    def _values(here, existing, name):
        found = []
        for block in range(-(-existing.n_points // LAYOUT.shard_points)):
            data = here.get(f"{name}/c/0/0/{block}")
            shape = (2, 2, LAYOUT.shard_points)
            found.append(np.full(shape, np.nan) if data is None else decode_shard(existing.documents[name], data))
        return np.concatenate(found, axis=2)


def own_ledger():
    """The ledger, as another command opens it."""
    return ledger.Ledger(blobs.Blobs("s3://bucket/x", {}))


def file_at(init, lead):
    return FILES[2 * init + lead]


@pytest.fixture
def bucket(monkeypatch):
    made = Bucket()
    for name in ("put", "get", "head", "list", "list_with_delimiter", "open_reader", "delete"):
        monkeypatch.setattr(blobs.obstore, name, getattr(made, name))
    monkeypatch.setattr(blobs, "open_object_store", lambda *_, **__: None)
    monkeypatch.setattr(store, "ThreadPoolExecutor", Serial)
    monkeypatch.setattr(store, "run_together", made.together)
    monkeypatch.setattr(ledger, "ThreadPoolExecutor", Serial)
    monkeypatch.setattr(showing, "ThreadPoolExecutor", Serial)
    monkeypatch.setattr(contention, "_PAUSE_S", 0)
    return made


ADVERSARIAL = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
SOME_FILES = st.lists(st.sampled_from(FILES), min_size=1, max_size=4, unique=True)
WISHES = st.lists(st.tuples(SOME_FILES, SOME_FILES), min_size=2, max_size=3)
"""Files that each writer reads, and files of which it gets nothing."""


def begin(bucket, *, wide=False):
    """A bucket with an empty store of one point and one variable, or of four shards in a partition."""
    bucket.objects.clear()
    bucket.gate, bucket.changed = lambda work: work(), lambda: None
    return Store("s3://bucket/x", {}, new_spec(wide=wide)).make_or_grow(Growth()).spec


@settings(ADVERSARIAL, max_examples=80)
@given(
    st.lists(st.tuples(SOME_FILES, SOME_FILES), min_size=2, max_size=3),
    st.booleans(),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_writers_of_one_partition_lose_nothing_in_any_order(bucket, wishes, kills, wide, random):
    spec = begin(bucket, wide=wide)
    watch = Watch(bucket)
    actions = {
        f"w{k}": (lambda k=k, files=files, gaps=gaps: commit(spec, f"w{k}", files, gaps))
        for k, (files, gaps) in enumerate(wishes)
    }
    ended = Adversary(bucket, random, kills=kills).run(actions)
    assert watch.looks > 0 or any(isinstance(how, BaseException) for how in ended.values())
    bucket.gate = lambda work: work()
    if not kills:
        assert not [how for how in ended.values() if isinstance(how, BaseException)]
    target = Store("s3://bucket/x", {}, spec)
    acknowledged = target.value_states(slice(0, 2))
    for k, (files, gaps) in enumerate(wishes):
        if not isinstance(ended[f"w{k}"], BaseException):
            for file in set(files) - set(gaps):
                init, lead = divmod(FILES.index(file), 2)
                assert (acknowledged.codes[:, init, lead] == COMPLETE).all(), "what was acknowledged is not there"
    # Running the same commands again, one after the other, changes nothing.
    for k, (files, gaps) in enumerate(wishes):
        commit(spec, f"again{k}", files, gaps)
    after = {key: data for key, data in bucket.objects.items() if not key.startswith(".hrrr/")}
    assert sum("/c/0/0/" in key for key in after) == (4 if wide else 1)
    begin(bucket, wide=wide)
    for k, (files, gaps) in enumerate(wishes):
        commit(spec, f"alone{k}", files, gaps)
    adopted = any(isinstance(how, BaseException) for how in ended.values())
    for key, data in after.items():
        if not (adopted and key.startswith(("status", "available_at"))):
            assert bucket.objects[key] == data, key


@ADVERSARIAL
@given(
    st.sets(
        st.sampled_from(["days", "variables", "points", "other points", "compact", "other compact", "reader"]),
        min_size=1,
        max_size=3,
    ),
    st.tuples(SOME_FILES, SOME_FILES),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_growing_and_writing_at_once_keep_every_promise(bucket, growths, files, kills, random):
    spec = begin(bucket)
    commit(spec, "before", [FILES[0]])
    commit(spec, "again before", [FILES[0]])
    Watch(bucket)
    old = Store("s3://bucket/x", {}, spec)
    wishes = {
        "days": lambda: old.grow(Growth(n_days=3)),
        "variables": lambda: old.grow(Growth(variables=parse_variables(NAMES))),
        "points": lambda: old.grow(Growth(points=points(1, "new"))),
        "other points": lambda: old.grow(Growth(points=points(2, "other"))),
        "compact": lambda: own_ledger().compact(datetime(2024, 1, 3)),
        "other compact": lambda: own_ledger().compact(datetime(2024, 1, 2)),
        "reader": lambda: own_ledger().read(),
    }
    actions = {name: wishes[name] for name in sorted(growths)}
    actions["writer"] = lambda: commit(spec, "w", files[0])
    actions["other writer"] = lambda: commit(spec, "o", files[1])
    ended = Adversary(bucket, random, kills=kills).run(actions)
    bucket.gate = lambda work: work()
    if isinstance(ended.get("reader"), pa.Table):
        rows = Counter(ended["reader"]["entry"].to_pylist())
        assert [rows[entry] for entry in rows if "before" in entry] == [1, 1], "a reader gets every row once"
    for name in sorted(growths - {"compact", "other compact", "reader"}):
        wishes[name]()
    after = load_spec(blobs.Blobs("s3://bucket/x", {}))
    existing = find_store(blobs.Blobs("s3://bucket/x", {}))
    assert existing.settings["growth"] == after.growth
    assert ("days" in growths) == (after.n_days == 3)
    assert ("variables" in growths) == (len(after.selection.variables) == 2)
    wanted = (
        {"p0"}
        | ({"new0"} if "points" in growths else set())
        | ({"other0", "other1"} if "other points" in growths else set())
    )
    assert set(after.points.point_id) == wanted
    assert_readers_see(existing, after)
    whole = Store("s3://bucket/x", {}, after)
    everything = commit(after, "last", FILES)
    assert everything.files == 4
    assert whole.value_states(slice(0, 2)).whole.all()
    assert not find_stale_status(whole, whole.value_states(slice(0, 2)), slice(0, 2))
    if not kills:
        assert not [how for how in ended.values() if isinstance(how, BaseException) and not isinstance(how, KillError)]


@ADVERSARIAL
@given(st.sampled_from(["points", "variables"]), st.booleans(), st.randoms(use_true_random=False))
def test_of_two_that_add_another_thing_under_one_name_one_is_told(bucket, what, kills, random):
    old = Store("s3://bucket/x", {}, begin(bucket))
    Watch(bucket)
    place = points(1, "new")
    elsewhere = replace(place, latitude=place.latitude + 0.1)
    if what == "points":
        wishes = {"a": Growth(points=place), "b": Growth(points=elsewhere)}
    else:
        wishes = {key: Growth(variables=parse_variables([f"x={key}:surface"])) for key in ("DPT", "GUST")}
    told = PointsError if what == "points" else ConfigError
    ended = Adversary(bucket, random, kills=kills).run({name: lambda w=w: old.grow(w) for name, w in wishes.items()})
    bucket.gate = lambda work: work()
    acknowledged = {name for name, how in ended.items() if isinstance(how, Store)}
    if not kills:
        assert len(acknowledged) == 1
        assert [type(how) for name, how in ended.items() if name not in acknowledged] == [told]
    refused = set()
    for name, wish in wishes.items():
        try:
            old.grow(wish)
        except told:
            refused.add(name)
    assert len(refused) == 1
    assert not refused & acknowledged, "what was acknowledged is there to stay"
    wishes[min(set(wishes) - refused)].check(load_spec(blobs.Blobs("s3://bucket/x", {})), "x")


def assert_readers_see(existing, spec):
    """Check that the coordinates of the points are those of the steps of growth."""
    here = blobs.Blobs("s3://bucket/x", {})
    n_blocks = -(-len(spec.points) // LAYOUT.shard_points)
    for name, right in (("latitude", spec.points.latitude), ("cell_y", spec.cells.y)):
        parts = [decode_shard(existing.documents[name], here.get(f"{name}/c/{block}")) for block in range(n_blocks)]
        assert np.array_equal(np.concatenate(parts)[: len(spec.points)], right)


@ADVERSARIAL
@given(st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_one_of_two_makers_makes_the_store(bucket, alike, kills, random):
    bucket.objects.clear()
    bucket.changed = lambda: None
    mine = new_spec()
    other = mine if alike else replace(mine, axis=Axis(datetime(2023, 1, 1), (0, 12)))

    def make(spec):
        return lambda: Store("s3://bucket/x", {}, spec).make_or_grow(Growth())

    ended = Adversary(bucket, random, kills=kills).run({"a": make(mine), "b": make(other)})
    bucket.gate = lambda work: work()
    there = load_spec(blobs.Blobs("s3://bucket/x", {}))
    if there is None:
        assert all(isinstance(how, BaseException) for how in ended.values())
        return
    winner = mine if there.axis == mine.axis else other
    before = dict(bucket.objects)
    make(winner)()
    alone = dict(bucket.objects)
    bucket.objects.clear()
    make(winner)()
    assert {k: v for k, v in alone.items() if k != ".hrrr/README"} == {
        k: v for k, v in bucket.objects.items() if k != ".hrrr/README"
    }
    assert set(before) <= set(alone)
