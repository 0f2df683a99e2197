"""A backfill through failing servers and kills ends like an undisturbed one; the checks find faulty stores."""

from __future__ import annotations

import functools
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import needs
from support.oracle import without_dask

pytest.importorskip("benchmarks", reason=needs.CHECKOUT)

import hrrr_dask
from benchmarks import chaos
from benchmarks.chaos_case import prepare
from benchmarks.chaos_checks import Undisturbed, WrongError, check_store
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.store.conditional_writes import read_shard
from hrrr_dask.store.shards import encode_shard
from hrrr_dask.testing import FaultServer


@pytest.mark.parametrize("seed", [1, 2])
def test_a_backfill_that_is_disturbed_in_every_way_ends_as_an_undisturbed_one(seed, capsys):
    answer = chaos.collect(chaos.parser().parse_args(["--quick", "--seed", str(seed)]))
    assert sum(answer["faults"].values()) >= 20
    assert sum(answer["kills"].values()) >= 5
    assert len(answer["faults"]) > 5
    assert answer["stores"] > 0
    assert answer["lost_files"] >= answer["stores"]
    chaos.show(answer)
    assert f"{answer['stores']} stores of 24 files each are right; seed {seed}" in capsys.readouterr().out
    assert chaos.readme_rows(answer) == []


# What the checks see


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A case and its store."""
    work = tmp_path_factory.mktemp("chaos")
    case = prepare(work, 24)
    with without_dask() as client, FaultServer(case.archive) as server:
        hrrr_dask.backfill(client=client, store=str(work / "x.zarr"), source=[server.url], **case.settings)
    return case, work / "x.zarr", Undisturbed.of(work / "x.zarr")


@pytest.fixture
def seen(filled, tmp_path):
    """The case, a copy of the store, and a function that checks it."""
    case, whole, undisturbed = filled
    shutil.copytree(whole, tmp_path / "x.zarr")
    return case, tmp_path / "x.zarr", functools.partial(check_store, tmp_path / "x.zarr", undisturbed)


def entries(store):
    return sorted(store.glob(".hrrr/ledger/*/*.parquet"))


def test_an_undisturbed_store_is_right_whatever_may_be_lost(seen):
    case, _, check = seen
    check((), None)
    check(case.archive.files[3:5], None)


def test_a_wrong_value_is_seen_even_in_a_partition_that_has_a_file_that_was_lost(seen):
    case, store, check = seen
    shutil.copyfile(store / "temperature_2m/c/0/0/0", store / "temperature_2m/c/1/0/0")
    with pytest.raises(WrongError, match=r"objects: found .*temperature_2m/c/1/0/0"):
        check((), None)
    with pytest.raises(WrongError, match="wrong values of temperature_2m: found 36, wanted 0"):
        check(case.archive.files[-1:], None)


def test_a_shard_that_is_missing_and_one_too_many_are_seen(seen):
    _, store, check = seen
    (store / "temperature_2m/c/1/0/0").rename(store / "temperature_2m/c/1/0/1")
    with pytest.raises(WrongError, match=r"keys: found \{'temperature_2m/c/1/0/1'\}"):
        check((), None)


def test_a_ledger_that_forgets_or_repeats_itself_is_seen(seen, tmp_path):
    _, store, check = seen
    names = [entry.relative_to(store / ".hrrr/ledger").as_posix() for entry in entries(store)]
    log = tmp_path / "log"
    log.write_text("".join(f"begun {name}\ndone {name}\n" for name in names))
    check((), log)
    log.write_text("".join(f"begun {name}\n" for name in [*names, "000000/other"]))
    check((), log)
    log.write_text(f"begun {names[0]}\n")
    with pytest.raises(WrongError, match="were not begun"):
        check((), log)
    log.write_text("".join(f"begun {name}\ndone {name}\n" for name in [*names, "000000/lost"]))
    with pytest.raises(WrongError, match=r"lost entries: found .*000000/lost"):
        check((), log)
    entries(store)[1].unlink()
    with pytest.raises(WrongError, match="files of which the ledger says nothing: found 12"):
        check((), None)


def changed(store, **columns):
    """Write the rows of the first entry again, from another command and with changed columns."""
    path = entries(store)[0]
    table = pq.read_table(path)
    for name, value in columns.items():
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, pa.array([value] * len(table)).cast(table.schema.field(at).type))
    pq.write_table(table, path.with_name(f"99991231-{path.name}"))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"attempt": 1}, r"attempts at .*found \[1, 1\], wanted \[1, 2\]"),
        ({"attempt": 2, "job": "another"}, "is complete 2 times, by several commands"),
        ({"attempt": 2, "outcome": "internal-error", "detail": "ours"}, r"internal errors: found \['ours'\]"),
    ],
)
def test_rows_that_are_not_counted_twice_complete_or_our_own_fault_are_seen(seen, columns, says):
    _, store, check = seen
    changed(store, entry="000000/99991231", **columns)
    with pytest.raises(WrongError, match=says):
        check((), None)


def test_a_status_that_is_not_the_ledgers_is_seen(seen):
    case, store, check = seen
    blobs, document = Blobs(str(store), {}), json.loads((store / "status/zarr.json").read_text())
    shard, _ = read_shard(blobs, "status/c/0/0", document)
    shard[0, 1] = 8
    blobs.put("status/c/0/0", encode_shard(document, shard))
    with pytest.raises(WrongError, match=r"objects: found .*status/c/0/0"):
        check((), None)
    with pytest.raises(WrongError, match="files whose status is not the ledger's: found 1"):
        check(case.archive.files[:1], None)
