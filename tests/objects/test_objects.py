"""Whole objects in a directory or behind a URL, and what failures are called."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
import threading
from contextlib import suppress

import obstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from hrrr_dask.errors import StoreAccessError, StoreConflictError
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.testing import FaultServer


@pytest.fixture
def blobs(tmp_path) -> Blobs:
    return Blobs(str(tmp_path), {})


def failing(error: Exception):
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_what_was_put_is_got(blobs, tmp_path):
    blobs.put("a/b/c", b"one")
    blobs.put("a/b/c", b"two")
    assert blobs.get("a/b/c") == b"two"
    assert (tmp_path / "a/b/c").read_bytes() == b"two"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["c"]


def test_what_is_not_there_is_none(blobs):
    assert blobs.get("a") is None
    assert blobs.get_with_etag("a") is None


def test_an_empty_object_is_there(blobs):
    blobs.put("a", b"")
    assert blobs.get("a") == b""


def test_an_entity_tag_changes_with_the_object(blobs):
    blobs.put("a", b"one")
    data, tag = blobs.get_with_etag("a") or pytest.fail("it is there")
    blobs.put("a", b"three")
    assert data == b"one"
    assert blobs.get_with_etag("a") != (b"three", tag)


def test_a_new_object_is_put_once(blobs):
    blobs.put_new("a", b"one")
    with pytest.raises(StoreConflictError, match=r"cannot write a to .*: another writer changed it first"):
        blobs.put_new("a", b"two")
    assert blobs.get("a") == b"one"


def test_the_same_object_put_twice_is_no_conflict(blobs):
    blobs.put_new("a", b"one")
    blobs.put_new("a", b"one")
    assert blobs.get("a") == b"one"


def tag(blobs: Blobs, key: str) -> str:
    return (blobs.get_with_etag(key) or pytest.fail("it is there"))[1]


def test_an_object_is_replaced_only_if_it_is_what_was_seen(blobs):
    blobs.put("a", b"one")
    etag = tag(blobs, "a")
    blobs.replace("a", b"second", etag)
    assert blobs.get("a") == b"second"
    with pytest.raises(StoreConflictError, match=r"cannot write a to .*: another writer changed it first"):
        blobs.replace("a", b"third", etag)
    assert blobs.get("a") == b"second"
    blobs.replace("a", b"second", etag)  # which is what was wanted
    blobs.replace("a", b"third", tag(blobs, "a"))
    assert blobs.get("a") == b"third"


def test_an_object_that_is_gone_is_not_replaced(blobs):
    blobs.put("a", b"one")
    etag = tag(blobs, "a")
    blobs.delete(["a"])
    with pytest.raises(StoreConflictError):
        blobs.replace("a", b"second", etag)
    assert blobs.get("a") is None


def test_a_place_without_entity_tags_cannot_keep_writers_apart(blobs):
    blobs.put("a", b"one")
    with pytest.raises(
        StoreAccessError,
        match="returns no entity tags, which writers need to detect conflicts: use another kind of storage",
    ):
        blobs.replace("a", b"two", "")
    assert blobs.get("a") == b"one"


def test_the_answer_to_a_put_may_get_lost(blobs, monkeypatch):
    put = obstore.put
    blobs.put("b", b"old")
    etag = tag(blobs, "b")

    def carried_out(store, key, data, *, mode="overwrite", **options):
        put(store, key, data, **options)
        raise GenericError("the line is cut")

    monkeypatch.setattr(obstore, "put", carried_out)
    blobs.put_new("a", b"one")
    blobs.replace("b", b"new", etag)
    assert (blobs.get("a"), blobs.get("b")) == (b"one", b"new")


@pytest.mark.parametrize("refusal", [AlreadyExistsError("409"), PreconditionError("412")])
def test_the_second_try_of_a_put_whose_answer_was_lost_is_refused_and_that_is_well(blobs, monkeypatch, refusal):
    blobs.put("a", b"one")
    monkeypatch.setattr(obstore, "put", failing(refusal))
    blobs.put_new("a", b"one")
    blobs.replace("a", b"one", "tag")
    for write in (lambda: blobs.put_new("a", b"two"), lambda: blobs.replace("a", b"two", "tag")):
        with pytest.raises(StoreConflictError):
            write()


def test_a_put_that_failed_is_no_conflict(blobs, monkeypatch):
    blobs.put("b", b"old")
    monkeypatch.setattr(obstore, "put", failing(GenericError("the line is cut")))
    for write in (lambda: blobs.put_new("a", b"one"), lambda: blobs.replace("b", b"new", "tag")):
        with pytest.raises(StoreAccessError, match=r"cannot write [ab] to .*: the line is cut"):
            write()


class Ceph:
    """A gateway that compares entity tags without their quotes, as Ceph's does."""

    def __init__(self, monkeypatch, shown: str) -> None:
        self.shown, self.tried, self.held = shown, [], b"old"
        monkeypatch.setattr(obstore, "put", self.put)
        monkeypatch.setattr(obstore, "head", lambda *_: {"e_tag": self.shown})

    def put(self, _, key: str, data: bytes, *, mode: dict[str, str], **options: object) -> None:
        self.tried.append(mode["e_tag"])
        if mode["e_tag"] != self.shown.strip('"'):
            raise PreconditionError("412")
        self.held = data


def test_a_gateway_that_wants_entity_tags_without_quotes_gets_them(blobs, monkeypatch):
    gateway = Ceph(monkeypatch, '"abc"')
    blobs.replace("a", b"new", '"abc"')
    assert gateway.tried == ['"abc"', "abc"]
    assert gateway.held == b"new"


def test_such_a_gateway_keeps_writers_apart_too(blobs, monkeypatch):
    blobs.put("a", b"old")
    gateway = Ceph(monkeypatch, '"of another writer"')
    with pytest.raises(StoreConflictError):
        blobs.replace("a", b"new", '"abc"')
    assert gateway.tried == ['"abc"'], "the tag is another one now, so that is no matter of quotes"
    assert gateway.held == b"old"


def test_of_many_that_replace_what_they_saw_exactly_one_wins(blobs):
    blobs.put("a", b"old")
    etag, barrier, won = tag(blobs, "a"), threading.Barrier(8), []

    def write(number: int) -> None:
        own = Blobs(blobs.url, {})
        barrier.wait()
        with suppress(StoreConflictError):
            own.replace("a", b"new %d" % number, etag)
            won.append(b"new %d" % number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [blobs.get("a")] == won


def test_of_many_that_make_an_object_exactly_one_wins(blobs):
    barrier, won = threading.Barrier(8), []

    def write(number: int) -> None:
        own = Blobs(blobs.url, {})
        barrier.wait()
        with suppress(StoreConflictError):
            own.put_new("a", b"new %d" % number)
            won.append(b"new %d" % number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [blobs.get("a")] == won


COUNTING = """
import sys
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.errors import StoreConflictError

blobs = Blobs(sys.argv[1], {})
done = 0
while done < 40:
    data, etag = blobs.get_with_etag("count")
    try:
        blobs.replace("count", b"%06d %s" % (int(data.split()[0]) + 1, sys.argv[2].encode()), etag)
    except StoreConflictError:
        continue
    done += 1
"""


def test_processes_of_one_machine_that_count_together_lose_no_count(blobs):
    blobs.put("count", b"000000")
    counting = [subprocess.Popen([sys.executable, "-c", COUNTING, blobs.url, str(k)]) for k in range(3)]
    assert [process.wait() for process in counting] == [0, 0, 0]
    assert int((blobs.get("count") or b"").split()[0]) == 120


def test_a_lost_race_is_a_conflict_that_may_heal(blobs, monkeypatch):
    blobs.put("a", b"one")
    monkeypatch.setattr(obstore, "put", failing(PreconditionError("412")))
    with pytest.raises(StoreConflictError) as caught:
        blobs.replace("a", b"two", "tag")
    assert caught.value.retryable


def test_deleting_what_is_not_there_is_no_error(blobs):
    blobs.put("a", b"one")
    blobs.delete(["a"])
    blobs.delete(["a"])
    assert blobs.get("a") is None


def test_keys_below_a_prefix_are_listed_in_order(blobs):
    for key in ("x/10/b", "x/1/a", "x/10/a", "xy/c", "y"):
        blobs.put(key, b"")
    assert blobs.keys("x/10") == ["x/10/a", "x/10/b"]
    assert blobs.keys("x") == ["x/1/a", "x/10/a", "x/10/b"]
    assert blobs.keys("z") == []


def test_only_keys_after_one_of_them_are_listed(blobs):
    for key in ("x/1", "x/2", "x/3", "y/1", "x/20"):
        blobs.put(key, b"")
    assert blobs.keys("x", after="x/1") == ["x/2", "x/20", "x/3"]
    assert blobs.keys("x", after="x/2") == ["x/20", "x/3"]
    assert blobs.keys("x", after="x/3") == []
    assert blobs.keys("x", after="x/25") == ["x/3"], "which need not be there"
    assert blobs.keys("z", after="z/1") == []


def test_locks_are_no_objects_of_the_store(blobs):
    blobs.put("a", b"one")
    blobs.replace("a", b"two", tag(blobs, "a"))
    assert blobs.top_level() == {"a", ".hrrr"}
    assert blobs.keys(".hrrr/ledger") == []


def test_what_is_not_there_cannot_be_opened(blobs):
    assert blobs.open("a") is None


MOVES = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 40)),
    st.tuples(st.just("seek"), st.integers(0, 40)),
    st.tuples(st.just("skip"), st.integers(0, 9)),
    st.tuples(st.just("end"), st.integers(-20, 0)),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=20, max_size=40), st.lists(MOVES, max_size=12))
def test_an_object_is_read_piece_by_piece_as_a_file_is(blobs, data, moves):
    blobs.put("a", data)
    file, oracle = blobs.open("a") or pytest.fail("it is there"), io.BytesIO(data)
    assert file.readable()
    assert file.seekable()
    for move, count in moves:
        if move == "read":
            assert file.read(count) == oracle.read(count)
        else:
            whence = {"seek": io.SEEK_SET, "skip": io.SEEK_CUR, "end": io.SEEK_END}[move]
            assert file.seek(count, whence) == oracle.seek(count, whence)
        assert file.tell() == oracle.tell()
    file.seek(0)
    assert file.read() == data


def test_names_at_the_top_are_objects_and_prefixes(blobs):
    assert blobs.top_level() == set()
    for key in ("zarr.json", ".hrrr/README", "t/c/0"):
        blobs.put(key, b"")
    assert blobs.top_level() == {"zarr.json", ".hrrr", "t"}


def test_a_directory_is_made_only_when_told_to(tmp_path):
    with pytest.raises(StoreAccessError, match="no such directory"):
        Blobs(str(tmp_path / "new"), {})
    Blobs(str(tmp_path / "new" / "deep"), {}, create=True).put("a", b"")
    assert (tmp_path / "new/deep/a").exists()


def test_a_file_where_a_directory_should_be_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreAccessError, match="cannot be opened"):
        Blobs(str(tmp_path / "file"), {}, create=True)
    with pytest.raises(StoreAccessError, match=r"cannot write file/a to "):
        Blobs(str(tmp_path), {}).put("file/a", b"")


def test_a_server_that_refuses_is_an_access_error():
    with (
        FaultServer({"/a": b"x"}, {"/a": ["403"]}) as server,
        pytest.raises(StoreAccessError, match=r"cannot read a of http://.*: permission denied; check the credentials"),
    ):
        Blobs(server.url + "/", {}).get("a")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            PermissionDeniedError("no"),
            r"denied; check the credentials and the rights of that place, then run the same command again \(no\)",
        ),
        (UnauthenticatedError("who"), r"permission denied; .*\(who\)"),
        (PermissionError(errno.EACCES, "no"), "permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; make room"),
        (
            GenericError("NoSuchBucket: b\nDebug source: …"),
            "there is no such bucket; create it first: NoSuchBucket: b$",
        ),
        (GenericError("Not a directory (os error 20)"), "a file stands where a directory is wanted"),
        (OSError("Read-only file system"), "the place is not writable"),
        (GenericError("something else"), r"cannot write k to .*: something else$"),
        (NotImplementedError(), "NotImplementedError$"),
    ],
)
def test_a_failure_says_what_was_wanted_and_what_to_do(blobs, monkeypatch, error, text):
    monkeypatch.setattr(obstore, "put", failing(error))
    with pytest.raises(StoreAccessError, match=text):
        blobs.put("k", b"")


def test_every_way_in_explains_its_failures(blobs, monkeypatch):
    blobs.put("there", b"")
    for name in ("put", "delete", "list", "list_with_delimiter", "open_reader"):
        monkeypatch.setattr(obstore, name, failing(GenericError("broken")))
    calls = [
        (lambda: blobs.put("k", b""), "write k to"),
        (lambda: blobs.put_new("k", b""), "write k to"),
        (lambda: blobs.replace("k", b"", "t"), "write k to"),
        (lambda: blobs.open("k"), "read k of"),
        (lambda: blobs.delete(["k"]), "delete from"),
        (lambda: blobs.keys("p"), "list p of"),
        (blobs.top_level, "list"),
        (lambda: blobs.get("there"), "read there of"),
        (lambda: blobs.get_with_etag("there"), "read there of"),
    ]
    for call, doing in calls:
        if doing.startswith("read there"):
            monkeypatch.setattr(obstore, "get", failing(GenericError("broken")))
        with pytest.raises(StoreAccessError, match=f"cannot {doing} .*: broken"):
            call()


def test_an_object_that_breaks_off_while_it_is_read_says_so(blobs, monkeypatch):
    class Breaking:
        def read(self, size: int) -> bytes:
            raise GenericError("the line is cut")

    blobs.put("a", b"one")
    monkeypatch.setattr(obstore, "open_reader", lambda *_: Breaking())
    file = blobs.open("a") or pytest.fail("it is there")
    with pytest.raises(StoreAccessError, match=r"cannot read a of .*: the line is cut"):
        file.read(1)
