"""A store on Icechunk: the plain store's bytes under the plain store's keys, and whole commits with a history."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import warnings
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
from support import needs
from support.oracle import as_bits, ledger_keys, run_cli, without_dask, write_points
from support.specs import LAYOUT, attempt, make_spec, outcome, piece, read_tree
from zarr.core.sync import sync

import hrrr_dask
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.errors import ConfigError, StoreAccessError, StoreConflictError, StoreMismatchError
from hrrr_dask.job import pipeline
from hrrr_dask.ledger.ledger import Ledger, to_dataframe
from hrrr_dask.ledger.rows import encode_entry
from hrrr_dask.objects import icechunk as icechunk_blobs
from hrrr_dask.objects.icechunk import IcechunkBlobs
from hrrr_dask.objects.transactions import history, open_blobs
from hrrr_dask.store import published as showing
from hrrr_dask.store.published import publish_ledger
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from hrrr_dask.testing import GridWindow, delete, loopback_s3, write_archive

icechunk = needs.extra("icechunk")

WINDOW = GridWindow(288, 794, 8, 10)
FEW = ["temperature_2m", "u_component_wind_10m", "v_component_wind_10m"]
PLACES = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()
NEW = "Repository initialized"


class KillError(BaseException):
    """Stands for SIGKILL: nothing catches it."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A run on each of three days."""
    inits = [datetime(2024, 1, day, 12) for day in (1, 2, 3)]
    root = tmp_path_factory.mktemp("archive")
    return write_archive(root, init_times=inits, lead_hours=[0, 1], variables=FEW, decoys=False, window=WINDOW)


def fill(archive, store, *, start="2024-01-01", end="2024-01-02", **settings):
    points = pd.DataFrame(PLACES, columns=["latitude", "longitude"]).assign(point_id=["a", "b"])
    wanted = {"variables": FEW[:1], "cycles": [12], "lead_hours": [0, 1], "partition_days": 1}
    wanted |= {"axis_start": "2024-01-01", "source": [str(archive.root)]}
    with without_dask() as client:
        return hrrr_dask.backfill(points, start, end, str(store), client=client, **wanted | settings)


def add_variables(archive, store):
    with without_dask() as client:
        return hrrr_dask.add_variables(store, FEW[1:], client=client, source=[str(archive.root)])


def add_points(archive, store):
    latitude, longitude = WINDOW.latlon(np.array([3.0]), np.array([4.0]))
    new = pd.DataFrame({"point_id": ["c"], "latitude": latitude, "longitude": longitude})
    with without_dask() as client:
        return hrrr_dask.add_points(store, new, client=client, source=[str(archive.root)])


@pytest.fixture(scope="module")
def filled(archive, tmp_path_factory):
    """The URL of a store on Icechunk; leave it as it is."""
    url = f"icechunk+{tmp_path_factory.mktemp('filled')}/x"
    assert fill(archive, url).outcome == "done"
    return url


@pytest.fixture
def store(filled, tmp_path):
    """A copy of it."""
    shutil.copytree(root_of(filled), tmp_path / "copy")
    return f"icechunk+{tmp_path}/copy"


def root_of(url):
    return url.removeprefix("icechunk+")


def contents(url):
    """Key to bytes of all that Zarr sees."""
    blobs = open_blobs(url, {})

    async def keys():
        return [key async for key in blobs.reading().list()]

    return {key: blobs.get(key) for key in sync(keys())}


def messages(url):
    """Of its commits, the latest last."""
    return [each.message.rpartition("; job ")[0] or each.message for each in history(url)][::-1]


def assert_same_as_plain(url, plain):
    found, wanted = contents(url), read_tree(plain, ledger=False)
    assert sorted(found) == sorted(wanted)
    assert [key for key in wanted if found[key] != wanted[key]] == []


# The same as a plain store


def test_keys_and_bytes_are_those_of_a_plain_store(archive, filled, tmp_path):
    fill(archive, tmp_path / "plain")
    assert_same_as_plain(filled, tmp_path / "plain")
    assert len(ledger_keys(root_of(filled))) == 2
    plain, found = to_dataframe(str(tmp_path / "plain")), to_dataframe(filled)
    own = ["entry", "job", "ingested", "file_seconds"]
    pd.testing.assert_frame_equal(plain.drop(columns=own), found.drop(columns=own))


def test_growing_it_gives_what_growing_a_plain_store_gives(archive, store, tmp_path):
    plain = str(tmp_path / "plain")
    fill(archive, plain)
    for url in (plain, store):
        assert add_variables(archive, url).files_read == 4
        assert fill(archive, url, end="2024-01-03", variables=FEW).files_read == 2
        assert add_points(archive, url).files_read == 6
    assert_same_as_plain(store, plain)
    assert messages(store)[4:] == [
        "grown to 2 days, 3 variables, 2 points",
        "status of 2 partitions follows the ledger",
        "20240101: 2 files, 4 values, 0 missing",
        "20240102: 2 files, 4 values, 0 missing",
        "grown to 3 days, 3 variables, 2 points",
        "20240103: 2 files, 6 values, 0 missing",
        "grown to 3 days, 3 variables, 3 points",
        "status of 3 partitions follows the ledger",
        "20240101: 2 files, 6 values, 0 missing",
        "20240102: 2 files, 6 values, 0 missing",
        "20240103: 2 files, 6 values, 0 missing",
    ]


def test_attributes_of_arrays_that_users_committed_survive_growth(archive, store):
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(root_of(store)))
    session = repository.writable_session("main")
    zarr.open_group(session.store, mode="r+")["temperature_2m"].attrs["remark"] = "checked"
    session.commit("remarks")
    add_points(archive, store)
    with hrrr_dask.open_dataset(store) as found:
        assert found.temperature_2m.attrs["remark"] == "checked"
        assert found.sizes["point"] == 3


def test_it_opens_with_hrrr_dask_and_with_plain_xarray_without_a_warning(filled):
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(root_of(filled)))
    zarr_store = repository.readonly_session("main").store
    with warnings.catch_warnings(), hrrr_dask.open_dataset(filled) as ours:
        warnings.simplefilter("error")
        for consolidated in (False, None):
            with xr.open_zarr(zarr_store, consolidated=consolidated) as plain:
                assert np.array_equal(as_bits(plain.temperature_2m), as_bits(ours.temperature_2m))
        assert ours.sel(point_id="b").temperature_2m.notnull().all()
        chunked = hrrr_dask.open_dataset(filled, chunks={})
        assert np.array_equal(
            as_bits(chunked.temperature_2m.compute(scheduler="threads")), as_bits(ours.temperature_2m)
        )
    status = hrrr_dask.status(filled)
    assert (status.files_complete, status.files_to_do, status.gaps) == (4, 0, {})


# Commits


def test_a_commit_has_a_partitions_values_and_their_status(filled):
    assert messages(filled) == [
        NEW,
        "made: 2 days, 1 variable, 2 points",
        "20240101: 2 files, 2 values, 0 missing",
        "20240102: 2 files, 2 values, 0 missing",
    ]
    for at, n_days in ((2, 0), (1, 1), (0, 2)):
        with hrrr_dask.open_dataset(filled, snapshot=history(filled)[at].snapshot) as shown:
            there = shown.temperature_2m.notnull().all(["lead_time", "point"])
            assert there.to_numpy().tolist() == [True] * n_days + [False] * (2 - n_days)
            assert np.array_equal((shown.status == 1).all("lead_time"), there)
            assert np.array_equal(shown.available_at.notnull().all("lead_time"), there)
    assert history(filled)[0].written_at.tzinfo == UTC


def test_a_message_counts_what_is_missing(archive, tmp_path):
    shutil.copytree(archive.root, tmp_path / "archive")
    broken = type(archive)(
        **{**{name: getattr(archive, name) for name in archive.__slots__}, "root": tmp_path / "archive"}
    )
    delete(broken, broken.files[0])
    report = fill(broken, f"icechunk+{tmp_path}/x", variables=FEW)
    assert report.gaps == {"not-published": 3}
    assert messages(f"icechunk+{tmp_path}/x")[2:] == [
        "20240101: 2 files, 6 values, 3 missing",
        "20240102: 2 files, 6 values, 0 missing",
    ]


def test_a_second_run_reads_nothing_and_commits_nothing(archive, store):
    before, objects = history(store), read_tree(root_of(store))
    report = fill(archive, store)
    assert (report.outcome, report.files_read, report.bytes_written) == ("done", 0, 0)
    assert history(store) == before
    assert read_tree(root_of(store)) == objects


def test_the_store_before_a_second_backfill_can_still_be_seen(archive, store):
    fill(archive, store, end="2024-01-03")
    earlier = next(each for each in history(store) if each.message.startswith("20240102"))
    grown = next(each for each in history(store) if each.message.startswith("grown"))
    with hrrr_dask.open_dataset(store) as now:
        assert now.sizes["init_time"] == 3
        assert now.temperature_2m.notnull().all()
    with hrrr_dask.open_dataset(store, snapshot=earlier.snapshot) as shown:
        assert shown.sizes["init_time"] == 2
    with hrrr_dask.open_dataset(store, snapshot=grown.snapshot) as shown:
        assert shown.temperature_2m[-1].isnull().all()
        assert (shown.status[-1] == 0).all()


def test_a_dataset_that_is_open_stays_as_it_was(archive, store):
    with hrrr_dask.open_dataset(store) as before:
        add_points(archive, store)
        assert before.temperature_2m.load().shape == (2, 2, 2)
    with hrrr_dask.open_dataset(store) as after:
        assert after.temperature_2m.load().shape == (2, 2, 3)


def test_icechunks_garbage_collection_leaves_the_ledger_alone(archive, store):
    beside = {key for key in read_tree(root_of(store)) if key.startswith(".hrrr/")}
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(root_of(store)))
    repository.expire_snapshots(datetime.now(UTC))
    swept = repository.garbage_collect(datetime.now(UTC))
    assert swept.snapshots_deleted > 0
    assert beside <= set(read_tree(root_of(store)))
    assert fill(archive, store, end="2024-01-03").files_read == 2
    assert hrrr_dask.status(store).files_complete == 6


def test_the_ledger_is_compacted_as_usual(filled, tmp_path):
    shutil.copytree(root_of(filled), tmp_path / "copy")
    assert hrrr_dask.compact(f"icechunk+{tmp_path}/copy") == (2, 1)
    assert hrrr_dask.status(f"icechunk+{tmp_path}/copy").files_complete == 4


# Writers at once


def make_store(root, n_days=4):
    return Store(f"icechunk+{root}", {}, make_spec(n_days=n_days)).make_or_grow(Growth())


def committing(store, monkeypatch, other):
    """Let another writer come in just before the next commit; returns what each try to commit ended with."""
    seal, ended = IcechunkBlobs.seal, []

    def sealing(self, message):
        if not ended and self is store.blobs:
            ended.append("")
            other()
            ended.clear()
        if self is not store.blobs:
            return seal(self, message)
        try:
            ended.append("committed")
            return seal(self, message)
        except StoreConflictError:
            ended[-1] = "conflict"
            raise

    monkeypatch.setattr(IcechunkBlobs, "seal", sealing)
    return ended


def write(store, partition=0, points=(0, 5), names=("temperature_2m",)):
    """Join the values of some points and commit them, as the pipeline does."""
    rows = [(row, lead) for row in range(4) for lead in (0, 1)]
    pieces = {name: [piece(name, *at, partition=partition, points=points) for at in rows] for name in names}
    store.transact(lambda: (store.merge(partition, pieces), f"wrote {points} of {partition}"))


def values(url):
    with xr.open_zarr(open_blobs(url, {}).reading(), consolidated=False) as found:
        return found.temperature_2m.load()


def test_two_that_write_the_same_shard_lose_nothing(tmp_path, monkeypatch):
    mine = make_store(tmp_path / "x")
    other = Store(mine.url, {}, mine.spec)
    ended = committing(mine, monkeypatch, lambda: write(other, points=(2, 5)))
    write(mine, points=(0, 2))
    assert ended == ["conflict", "committed"]
    assert values(mine.url)[:4].notnull().all()
    assert messages(mine.url)[2:] == ["wrote (2, 5) of 0", "wrote (0, 2) of 0"]


def test_two_that_write_different_partitions_are_in_nobodys_way(tmp_path, monkeypatch):
    mine = make_store(tmp_path / "x")
    other = Store(mine.url, {}, mine.spec)
    ended = committing(mine, monkeypatch, lambda: write(other, partition=1))
    write(mine)
    assert ended == ["committed"]
    assert values(mine.url).notnull().all()


def test_a_store_that_grows_under_a_writer_has_both(tmp_path, monkeypatch):
    mine = make_store(tmp_path / "x")
    other = Store(mine.url, {}, mine.spec)
    new = Growth(n_days=6, variables=parse_variables(["dewpoint_2m"]))
    ended = committing(mine, monkeypatch, lambda: other.grow(new))
    write(mine)
    assert ended[-1] == "committed"
    assert values(mine.url).shape[0] == 12
    assert values(mine.url)[:4].notnull().all()
    assert "dewpoint_2m/zarr.json" in contents(mine.url)


def test_a_writer_under_a_store_that_grows_is_kept(tmp_path, monkeypatch):
    mine = make_store(tmp_path / "x")
    other = Store(mine.url, {}, mine.spec)
    ended = committing(mine, monkeypatch, lambda: write(other))
    mine.grow(Growth(n_days=6, variables=parse_variables(["dewpoint_2m"])))
    assert ended[-1] == "committed"
    assert values(mine.url).shape[0] == 12
    assert values(mine.url)[:4].notnull().all()


def test_of_two_that_grow_it_both_have_their_way(tmp_path, monkeypatch):
    mine = make_store(tmp_path / "x")
    other = Store(mine.url, {}, mine.spec)
    ended = committing(mine, monkeypatch, lambda: other.grow(Growth(n_days=8)))
    mine.grow(Growth(variables=parse_variables(["dewpoint_2m"])))
    assert ended[0] == "conflict"
    assert values(mine.url).shape[0] == 16
    assert "dewpoint_2m/zarr.json" in contents(mine.url)
    plain = Store(str(tmp_path / "plain"), {}, make_spec(n_days=4)).make_or_grow(Growth())
    plain = plain.grow(Growth(variables=parse_variables(["dewpoint_2m"]))).grow(Growth(n_days=8))
    assert sorted(contents(mine.url)) == sorted(read_tree(tmp_path / "plain", ledger=False))


def test_status_is_brought_up_to_entries_that_no_commit_has_shown(tmp_path):
    """He commits, I commit without his rows, he puts his entry, I put mine: whoever looks last shows both."""
    store = make_store(tmp_path / "x")
    for number, lead in enumerate((0, 1)):
        who = attempt(number=number, second=number)
        entry = encode_entry([outcome(0, lead, wanted=("temperature_2m",))], who)
        store.ledger.write(who, entry)
    assert publish_ledger(store, [0]) > 0
    assert publish_ledger(store, [0]) == 0
    assert messages(store.url)[-1] == "status of 1 partition follows the ledger"


def test_a_commit_that_never_gets_through_is_an_error_in_our_words(tmp_path, monkeypatch):
    store = make_store(tmp_path / "x")

    def refuse(self, message):
        raise StoreConflictError("another commit was there first")

    monkeypatch.setattr(IcechunkBlobs, "seal", refuse)
    monkeypatch.setattr("hrrr_dask.store.conditional_writes._PAUSE_S", 0)
    with pytest.raises(StoreConflictError, match="committed to by too many other commands"):
        write(store)


@pytest.mark.parametrize("archive_lost_it", [False, True])
def test_a_kill_between_the_commit_and_the_ledger_entry_is_mended(archive, tmp_path, monkeypatch, archive_lost_it):
    shutil.copytree(archive.root, tmp_path / "archive")
    here = type(archive)(
        **{**{name: getattr(archive, name) for name in archive.__slots__}, "root": tmp_path / "archive"}
    )
    url = f"icechunk+{tmp_path}/x"

    def killed(*_):
        raise KillError

    with monkeypatch.context() as patch, contextlib.suppress(KillError):
        patch.setattr(Ledger, "write", killed)
        fill(here, url)
    assert messages(url)[-1].startswith("20240101")
    assert ledger_keys(root_of(url)) == []
    if archive_lost_it:
        delete(here, here.files[0])
    before = contents(url)
    assert fill(here, url).files_read == 4
    after = contents(url)
    assert after["temperature_2m/c/0/0/0"] == before["temperature_2m/c/0/0/0"]
    assert hrrr_dask.status(url).files_complete == 4
    first_day = [message for message in messages(url) if message.startswith("20240101")]
    assert len(first_day) == (2 if archive_lost_it else 1), "available_at is not known any more, nothing else changes"


def test_a_kill_between_the_entry_and_its_status_is_mended(archive, tmp_path, monkeypatch):
    """An older status is there when two writers came at once; the next command compares it with the ledger."""
    url = f"icechunk+{tmp_path}/x"
    with monkeypatch.context() as patch:
        for module in (pipeline, showing):
            patch.setattr(module, "publish_status", lambda *_, **__: 0)
        fill(archive, url)
    with hrrr_dask.open_dataset(url) as shown:
        assert (shown.status == 0).all()
    assert fill(archive, url).files_read == 0
    with hrrr_dask.open_dataset(url) as shown:
        assert (shown.status == 1).all()
    assert messages(url)[-1] == "status of 2 partitions follows the ledger"


def test_the_run_loop_is_told_to_write_one_step_after_the_other(filled):
    def job(url):
        return pipeline.Job("j", make_spec(layout=LAYOUT), url, (), (), None, "eccodes", 0, "1.2.3")

    assert job("icechunk+s3://bucket/x").serial_writes
    assert not job("s3://bucket/x").serial_writes


# Places and errors


@pytest.mark.parametrize("stage", ["plain", "a plain store that is being made"])
def test_a_plain_store_and_one_on_icechunk_are_not_mixed_up(archive, store, tmp_path, stage):
    if stage == "plain":
        fill(archive, tmp_path / "plain")
        with pytest.raises(StoreMismatchError, match=r"is a plain Zarr store: leave icechunk\+ out"):
            fill(archive, f"icechunk+{tmp_path}/plain")
    else:
        Store(str(tmp_path / "plain"), {}, make_spec())._make()
        with pytest.raises(StoreAccessError, match="clean prefixes"):
            Store(f"icechunk+{tmp_path}/plain", {}, make_spec()).make_or_grow(Growth())
    with pytest.raises(StoreMismatchError, match=r"is an Icechunk repository: put icechunk\+ before it"):
        fill(archive, root_of(store))


def test_somebody_elses_repository_is_left_alone(archive, tmp_path):
    repository = icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "x")))
    session = repository.writable_session("main")
    xr.Dataset({"a": ("x", [1.0, 2.0])}).to_zarr(session.store, consolidated=False, zarr_format=3)
    session.commit("mine")
    with pytest.raises(StoreMismatchError, match="hrrr_dask did not make"):
        fill(archive, f"icechunk+{tmp_path}/x")


def test_an_empty_repository_that_was_configured_by_hand_may_be_used(archive, tmp_path):
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "x"))).save_config()
    assert fill(archive, f"icechunk+file://{tmp_path}/x").outcome == "done"


def test_a_snapshot_that_is_not_there_is_said(filled, archive, tmp_path):
    for wrong in ("XYZ", "1CECHNKREP0F1RSTCMT1"):
        with pytest.raises(StoreMismatchError, match=f"has no snapshot '{wrong}'"):
            hrrr_dask.open_dataset(filled, snapshot=wrong)
    with pytest.raises(StoreMismatchError, match="holds no store"):
        hrrr_dask.open_dataset(filled, snapshot=history(filled)[-1].snapshot)
    with pytest.raises(StoreMismatchError, match="holds no store"):
        hrrr_dask.open_dataset(f"icechunk+{tmp_path}/nothing")
    fill(archive, tmp_path / "plain")
    with pytest.raises(ConfigError, match="has no snapshots"):
        hrrr_dask.open_dataset(str(tmp_path / "plain"), snapshot="XYZ")
    with pytest.raises(ConfigError, match="has no history"):
        history(str(tmp_path / "plain"))


def test_without_the_package_the_error_says_how_to_install_it(archive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(ConfigError, match=r"pip install 'hrrr-dask\[icechunk\]'"):
        fill(archive, f"icechunk+{tmp_path}/x")
    assert list(tmp_path.iterdir()) == []


def test_it_is_not_imported_for_a_plain_store(archive, tmp_path):
    fill(archive, tmp_path / "x")
    check = (
        "import sys, hrrr_dask; hrrr_dask.open_dataset(sys.argv[1]).load(); hrrr_dask.status(sys.argv[1])\n"
        "assert not [name for name in sys.modules if name.startswith('icechunk')]"
    )
    subprocess.run([sys.executable, "-c", check, str(tmp_path / "x")], check=True, timeout=100)


def test_its_reason_is_put_on_one_line(tmp_path, store):
    assert (
        icechunk_blobs._reason("  x session error: no\n  | \n  | context:\n  |    0: a\n  | \n  `-> it is so\n")
        == "it is so"
    )
    assert icechunk_blobs._reason("  x just that") == "just that"
    for path in list((tmp_path / "copy" / "chunks").iterdir()):
        path.unlink()
    blobs = open_blobs(store, {})
    keys = ("init_time/c/0", "valid_time/c/0/0", "point_id/c/0")
    with pytest.raises(StoreAccessError, match=r"cannot read \w+/c/0\S* of icechunk\+/.*: No such file") as refused:
        list(map(blobs.get, keys))
    assert "\n" not in str(refused.value)


# A bucket


@pytest.fixture(scope="module")
def s3():
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.create_bucket("out")
        yield server


def test_two_workers_fill_a_bucket_from_the_command_line(s3, archive, tmp_path):
    url = "icechunk+s3://out/some/prefix/x"
    options = {"points": write_points(tmp_path / "points.csv", PLACES), "cycles": "12", "lead_hours": "0,1"}
    options |= {"start": "2024-01-01", "end": "2024-01-03", "variables": FEW[0], "partition_days": 1, "json": True}
    options |= {"axis_start": "2024-01-01", "source": archive.root, "workers": 2}
    code, report, stderr = run_cli("backfill", store=url, **options)
    assert code == 0, stderr
    assert (report["outcome"], report["files_read"], report["store"]) == ("done", 6, url)
    keys = [each["Key"] for each in s3.client().list_objects_v2(Bucket="out")["Contents"]]
    assert {key.split("/")[2] for key in keys} == {"x"}
    beside = {key.split("/")[4] for key in keys if key.startswith("some/prefix/x/.hrrr/")}
    assert beside == {"README", "growth", "ledger"}
    assert sorted(messages(url)[2:]) == [f"2024010{day}: 2 files, 2 values, 0 missing" for day in (1, 2, 3)]
    assert hrrr_dask.status(url).files_complete == 6
    fill(archive, tmp_path / "plain", end="2024-01-03")
    with hrrr_dask.open_dataset(url) as found, xr.open_zarr(tmp_path / "plain") as wanted:
        assert np.array_equal(as_bits(found.temperature_2m), as_bits(wanted.temperature_2m))
        assert (found.status == 1).all()
    code, report, _ = run_cli("backfill", store=url, **options)
    assert (code, report["files_read"], report["bytes_written"]) == (0, 0, 0)


def test_on_s3_a_conflict_is_noticed_by_the_bucket(s3, monkeypatch):
    mine = Store("icechunk+s3://out/conflict", {}, make_spec()).make_or_grow(Growth())
    other = Store(mine.url, {}, mine.spec)
    ended = committing(mine, monkeypatch, lambda: write(other, points=(2, 5)))
    write(mine, points=(0, 2))
    assert ended == ["conflict", "committed"]
    assert values(mine.url)[:4].notnull().all()


def test_a_bucket_that_does_not_exist_is_said_in_our_words(s3, archive):
    with pytest.raises(StoreAccessError, match="there is no such bucket; create it first") as refused:
        fill(archive, "icechunk+s3://nowhere/x")
    assert "\n" not in str(refused.value)
    assert "icechunk+s3://nowhere/x" in str(refused.value)
