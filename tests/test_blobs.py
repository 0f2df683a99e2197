"""Whole objects in a directory or behind a URL, and what failures are called."""

from __future__ import annotations

import errno

import obstore
import pytest
from faults import FaultServer
from obstore.exceptions import GenericError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from hrrr_dask.blobs import Blobs
from hrrr_dask.errors import StoreAccessError, StoreConflictError


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
    with pytest.raises(StoreConflictError, match=r"cannot write a to .*: another writer was there first"):
        blobs.put_new("a", b"two")
    assert blobs.get("a") == b"one"


def test_a_directory_replaces_only_what_was_seen(blobs):
    blobs.put("a", b"one")
    _, etag = blobs.get_with_etag("a")
    blobs.replace("a", b"second", etag)
    assert blobs.get("a") == b"second"
    with pytest.raises(StoreConflictError, match="changed by another writer"):
        blobs.replace("a", b"third", etag)
    assert blobs.get("a") == b"second"


def test_a_lost_race_is_a_conflict_that_may_heal(blobs, monkeypatch):
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
        (PermissionDeniedError("no"), r"permission denied; check the credentials and the rights of that place \(no\)"),
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
    for name in ("get", "put", "delete", "list", "list_with_delimiter"):
        monkeypatch.setattr(obstore, name, failing(GenericError("broken")))
    calls = [
        (lambda: blobs.get("k"), "read k of"),
        (lambda: blobs.get_with_etag("k"), "read k of"),
        (lambda: blobs.put("k", b""), "write k to"),
        (lambda: blobs.put_new("k", b""), "write k to"),
        (lambda: blobs.replace("k", b"", "t"), "write k to"),
        (lambda: blobs.delete(["k"]), "delete from"),
        (lambda: blobs.keys("p"), "list p of"),
        (blobs.top_level, "list"),
    ]
    for call, doing in calls:
        with pytest.raises(StoreAccessError, match=f"cannot {doing} .*: broken"):
            call()
