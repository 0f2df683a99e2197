"""`verify_checksums` finds changed bytes of a store by the checksums in its ledger, without the archive."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from support.oracle import without_dask

import hrrr_dask
from hrrr_dask import verify_checksums
from hrrr_dask.cli.commands import cli
from hrrr_dask.errors import StoreAccessError
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.store.shards import decode_shard, encode_shard
from hrrr_dask.testing import GridWindow, delete, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
NAMES = ["temperature_2m", "u_component_wind_10m", "v_component_wind_10m"]
INITS = [datetime(2024, 1, day, hour) for day in (1, 2) for hour in (0, 12)]
N_FILES = 2 * len(INITS)
N_POINTS = 5
POINTS = pd.DataFrame(
    dict(zip(("latitude", "longitude"), WINDOW.latlon(np.arange(5.0), np.arange(5.0)), strict=True)), dtype=float
).assign(point_id=list("abcde"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("checksums") / "archive"
    return write_archive(root, init_times=INITS, lead_hours=[0, 1], variables=NAMES, decoys=False, window=WINDOW)


def backfill(archive, store, end="2024-01-02"):
    shape = {"partition_days": 1, "axis_start": "2024-01-01", "shard_points": 4, "chunk_points": 2}
    with without_dask() as client:
        return hrrr_dask.backfill(
            POINTS,
            "2024-01-01",
            end,
            str(store),
            client=client,
            source=[str(archive.root)],
            variables=NAMES,
            cycles=[0, 12],
            lead_hours=[0, 1],
            **shape,
        )


@pytest.fixture(scope="module")
def pristine_store(archive, tmp_path_factory):
    store = tmp_path_factory.mktemp("pristine") / "x.zarr"
    assert backfill(archive, store).outcome == "done"
    return store


@pytest.fixture
def store(pristine_store, tmp_path):
    """Copy of the store, to be damaged."""
    return Path(shutil.copytree(pristine_store, tmp_path / "x.zarr"))


def test_an_unchanged_store_is_equal(store):
    seen: list[tuple[int, int]] = []
    report = verify_checksums(store, progress=lambda *counts: seen.append(counts))
    assert seen == [(done, len(seen)) for done in range(1, len(seen) + 1)]
    assert seen
    assert (report.counts, report.outcome, report.exit_code) == ({}, "equal", 0)
    assert report.files == N_FILES
    assert report.values_compared == report.values_equal == N_FILES * len(NAMES) * N_POINTS
    assert report.against == "checksums"
    assert report.bytes_read == 0


def test_a_store_with_added_points_and_a_compacted_ledger_is_equal(archive, store):
    with without_dask() as client:
        more = pd.DataFrame({"point_id": ["f"], "latitude": POINTS.latitude[:1], "longitude": POINTS.longitude[:1]})
        hrrr_dask.add_points(store, more, client=client, source=[str(archive.root)])
    hrrr_dask.compact(store)
    report = verify_checksums(store)
    assert report.counts == {}
    assert report.values_equal == N_FILES * len(NAMES) * (N_POINTS + 1)


def test_a_flipped_bit_in_any_object_is_found_with_its_key(store):
    rng = np.random.default_rng(5)
    paths = [path for path in sorted(store.rglob("*")) if path.is_file() and ".hrrr" not in path.parts]
    assert len(paths) > 50
    for path in paths:
        if path == store / "zarr.json":  # the flipped bit may be in user attributes
            continue
        good = path.read_bytes()
        bad = bytearray(good)
        bad[rng.integers(len(good))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
        report = verify_checksums(store)
        assert set(report.counts) <= {"damaged-chunk", "other-document"}, path
        assert report.exit_code == 1, path
        key = path.relative_to(store).as_posix()
        assert key in {each.file for each in report.differences}, path
        path.write_bytes(good)
    assert verify_checksums(store).counts == {}


def test_a_removed_shard_is_found_by_its_missing_values(store):
    (store / f"{NAMES[0]}/c/1/0/0").unlink()
    report = verify_checksums(store)
    assert report.counts in ({"value-is-missing": 4 * N_POINTS}, {"other-checksum": 4 * N_POINTS})
    assert {each.file for each in report.differences} == {
        f"{init:%Y%m%dT%H}-f{lead:02}" for init in INITS[2:] for lead in (0, 1)
    }
    assert {each.variable for each in report.differences} == {NAMES[0]}


def test_a_shard_replaced_by_another_valid_one_is_found(store):
    """The shard is changed and encoded again, with a correct CRC."""
    path = store / f"{NAMES[1]}/c/0/0/1"
    document = json.loads((store / f"{NAMES[1]}/zarr.json").read_bytes())
    shard = decode_shard(document, path.read_bytes()).copy()
    shard[1, 0, 0] = np.nextafter(shard[1, 0, 0], np.float32(np.inf))
    path.write_bytes(encode_shard(document, shard))
    report = verify_checksums(store)
    assert report.counts == {"other-checksum": N_POINTS}
    (found,) = report.differences
    assert (found.file, found.variable) == ("20240101T12-f00", NAMES[1])
    assert verify_checksums(store, start="2024-01-02").counts == {}, "only the given period is verified"
    assert verify_checksums(store, end="2024-01-01T00").counts == {}


@pytest.mark.parametrize("name", ["status", "quality", "available_at"])
def test_an_array_that_differs_from_the_ledger_is_found(store, name):
    path = store / f"{name}/c/0/0"
    document = json.loads((store / f"{name}/zarr.json").read_bytes())
    shard = decode_shard(document, path.read_bytes()).copy()
    shard[1, 1] += 3
    path.write_bytes(encode_shard(document, shard))
    report = verify_checksums(store)
    assert report.counts == {"other-status": 1}
    (found,) = report.differences
    assert (found.file, found.variable, found.store) == ("20240101T12-f01", name, int(shard[1, 1]))


def test_values_of_an_uncommitted_attempt_have_no_checksum_and_are_not_checked(archive, tmp_path, monkeypatch):
    copy = type(archive)(tmp_path / "archive", archive.files, archive.window, archive.names)
    shutil.copytree(archive.root, copy.root)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            backfill(copy, tmp_path / "x.zarr", end="2024-01-01")
    delete(copy, copy.files[0])
    assert backfill(copy, tmp_path / "x.zarr", end="2024-01-01").gaps == {}
    report = verify_checksums(tmp_path / "x.zarr")
    assert (report.counts, report.exit_code) == ({}, 3)
    assert {each.reason for each in report.unchecked} == {"no-checksum"}
    assert report.unchecked_values == len(NAMES) * N_POINTS


def test_the_command_lists_the_differences_and_exits_with_1(store):
    (store / "latitude/c/0").write_bytes((store / "longitude/c/0").read_bytes())
    done = CliRunner().invoke(cli, ["verify", "--store", str(store), "--checksums", "--json"])
    assert done.exit_code == 1
    assert json.loads(done.stdout)["counts"] == {"other-document": 1}
    tables = CliRunner().invoke(cli, ["verify", "--store", str(store), "--checksums"])
    assert "compared with the ledger's checksums" in " ".join(tables.stdout.split())
    assert "latitude/c/0" in tables.stdout


@pytest.mark.parametrize("flags", [("--sample", "3"), ("--all",), ("--source", "aws")])
def test_options_of_the_archive_are_refused_with_checksums(store, flags):
    done = CliRunner().invoke(cli, ["verify", "--store", str(store), "--checksums", *flags])
    assert done.exit_code == 2
    assert "reads no archive: leave out" in done.stderr


def test_a_store_that_cannot_be_read_is_an_error_and_no_damage(pristine_store, monkeypatch):
    def refuse(blobs, key):
        raise StoreAccessError(f"cannot read {key}: the credentials have expired")

    monkeypatch.setattr(Blobs, "get_with_etag", refuse)
    with pytest.raises(StoreAccessError, match="the credentials have expired"):
        verify_checksums(str(pristine_store))
