"""`check` finds a store that is stale, has gaps, implausible or damaged values, by few requests and without writing."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
from click.testing import CliRunner
from support.specs import (
    NAMES,
    SPAN,
    all_pieces,
    commit,
    make_spec,
    outcome,
    partition_outcomes,
    read_tree,
    values_at,
)

import hrrr_dask
from hrrr_dask.audit import check as checking
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.cli import cli
from hrrr_dask.config.settings import Selection
from hrrr_dask.config.shares import parse_share
from hrrr_dask.errors import ConfigError, PlanError, StoreMismatchError
from hrrr_dask.planning.runs import usual_age
from hrrr_dask.store.shards import decode_shard, encode_shard
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from hrrr_dask.testing import loopback_s3
from hrrr_dask.testing.s3_proxy import Rule, StoreProxy

LAST = datetime(2024, 1, 4, 12)
"""Last run of the store; runs are at 0 and 12 UTC from 2024-01-01 on, 24 values of 8 runs in two partitions."""


def checksum(name, init, lead):
    return google_crc32c.value(values_at(name, init, lead, np.arange(5)).astype("<f4").tobytes())


def fill(store, partition, runs=SPAN, **changes):
    """Write the values of a partition, and commit its first runs; changes are outcomes by (run, lead)."""
    store.merge(partition, all_pieces(partition))
    outcomes = []
    for row in range(runs):
        for lead in (0, 1):
            names = NAMES if lead else NAMES[:1]
            sums = {name: checksum(name, partition * SPAN + row, lead) for name in names}
            more = {"checksums": sums} | changes.get(f"r{row}f{lead}", {})
            outcomes.append(outcome(partition * SPAN + row, lead, wanted=names, **more))
    commit(store, *outcomes, partition=partition)


def make_store(url, options=None):
    return Store(str(url), options or {}, make_spec()).make_or_grow(Growth())


@pytest.fixture
def store(tmp_path):
    made = make_store(tmp_path / "x.zarr")
    fill(made, 0)
    return made


@pytest.fixture
def whole(store):
    fill(store, 1)
    return store


def at(monkeypatch, now):
    monkeypatch.setattr(checking, "_now", lambda: now)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    at(monkeypatch, LAST + timedelta(hours=4))


def result(report):
    return {each.name: each.ok for each in report.checks}


def test_a_store_that_is_kept_up_to_date_is_ok_and_stays_as_it_is(whole):
    before = read_tree(whole.url)
    report = hrrr_dask.check(whole.url, checksums="100%")
    assert read_tree(whole.url) == before
    assert (report.outcome, report.exit_code, report.failed) == ("ok", 0, ())
    assert result(report) == dict.fromkeys(["readable", "age", "gaps", "flags", "checksums"], True)
    assert (report.newest_run, report.newest_run_age_s, report.due_run) == (LAST, 4 * 3600, LAST)
    assert (report.values_wanted, report.gaps, report.flags) == (24, {}, {})
    assert (report.checksums_compared, report.checksums_differing) == (24 * 5, 0)
    assert report.first_init_time == datetime(2024, 1, 1)
    assert report.last_init_time == LAST
    assert report.summary.startswith(f"OK {whole.url}: age: the newest run, 2024-01-04T12, is 4 h 0 min old")


@pytest.mark.parametrize(
    ("age", "given", "ok"),
    [
        (timedelta(hours=14), None, True),
        (timedelta(hours=14, minutes=1), None, False),
        (timedelta(hours=3), "3h", True),
        (timedelta(hours=3, seconds=1), "3h", False),
        (timedelta(hours=3, seconds=1), 3 * 3600, False),
        (timedelta(days=2000), "none", True),
    ],
)
def test_the_age_is_the_time_since_the_init_time_of_the_newest_run_with_values(whole, monkeypatch, age, given, ok):
    at(monkeypatch, LAST + age)
    report = hrrr_dask.check(whole.url, max_age=given)
    assert result(report)["age"] is ok
    assert report.newest_run_age_s == age.total_seconds()
    assert report.exit_code == (0 if ok else 3)
    if not ok:
        (failed,) = report.failed
        assert failed.advice
        assert ("2024-01-05T00 should be published by now" in failed.found) == (age > timedelta(hours=12))


@pytest.mark.parametrize(
    ("cycles", "lead_minutes", "hours"),
    [
        (range(24), (0,), 3),
        ((0, 12), (0, 60), 14),
        (range(0, 24, 3), (0,), 5),
        ((6,), (0,), 26),
        (range(24), (24 * 60,), 9),  # only the runs at 0, 6, 12 and 18 UTC reach it, after 93 minutes
    ],
)
def test_the_usual_age_is_that_of_a_store_that_is_updated_every_hour(cycles, lead_minutes, hours):
    selection = Selection(parse_variables(["temperature_2m"]), lead_minutes, tuple(cycles))
    assert usual_age(selection, datetime(2024, 1, 4, 5, 59)) == timedelta(hours=hours)


def test_runs_that_were_not_read_are_gaps_and_make_the_store_old(store, monkeypatch):
    fill(store, 1, runs=2, r1f1={"reasons": {NAMES[1]: "truncated"}})
    at(monkeypatch, LAST + timedelta(hours=4))
    report = hrrr_dask.check(store.url)
    assert report.newest_run == datetime(2024, 1, 3, 12)
    assert [each.name for each in report.failed] == ["age", "gaps"]
    assert report.gaps == {"not-ingested": 6, "truncated": 1}
    assert report.values_wanted == 24
    assert "29 % of the values are missing, at most 1 % may be: 6 not-ingested, 1 truncated" in report.summary
    assert hrrr_dask.check(store.url, max_age="2d", max_gaps="29.2%").outcome == "ok"  # 7 of 24 are 29.17 %
    assert [each.name for each in hrrr_dask.check(store.url, max_age="2d", max_gaps="29.1%").failed] == ["gaps"]
    assert hrrr_dask.check(store.url, max_age="none", max_gaps="none").outcome == "ok"


def test_a_file_is_a_gap_from_two_hours_after_its_usual_publication_on(store, monkeypatch):
    fill(store, 1, runs=3)
    due = LAST + timedelta(minutes=51 + 120)  # lead time 0
    at(monkeypatch, due - timedelta(seconds=1))
    assert (hrrr_dask.check(store.url).gaps, hrrr_dask.check(store.url).values_wanted) == ({}, 21)
    at(monkeypatch, due)
    report = hrrr_dask.check(store.url)
    assert (report.gaps, report.values_wanted) == ({"not-ingested": 1}, 22)
    assert [each.name for each in report.failed] == ["age", "gaps"]


def test_only_the_recent_period_is_counted(store):
    fill(store, 1, r0f0={"reasons": {NAMES[0]: "not-published"}})
    assert hrrr_dask.check(store.url, period="36h").values_wanted == 9
    assert hrrr_dask.check(store.url, period="36h").gaps == {}
    assert hrrr_dask.check(store.url, period="2d").gaps == {"not-published": 1}
    early = hrrr_dask.check(store.url, start="2024-01-01", end="2024-01-02")
    assert (early.gaps, early.values_wanted, early.newest_run) == ({}, 12, LAST)
    assert hrrr_dask.check(store.url, start="2024-01-03T00").gaps == {"not-published": 1}
    with pytest.raises(PlanError, match="none of them in that period"):
        hrrr_dask.check(store.url, start="2023-01-01", end="2023-01-02")


def test_a_newest_run_before_the_recent_period_is_found(store):
    report = hrrr_dask.check(store.url, period="1d")
    assert report.newest_run == datetime(2024, 1, 2, 12)
    assert report.gaps == {"not-ingested": 6}


def test_a_store_without_values_has_no_newest_run(tmp_path):
    report = hrrr_dask.check(make_store(tmp_path / "new.zarr").url)
    assert (report.newest_run, report.newest_run_age_s, report.exit_code) == (None, None, 3)
    assert "there is no run with values" in report.summary
    assert report.gaps == {"not-ingested": 24}


def test_flags_are_shown_and_fail_only_above_a_limit(store):
    fill(store, 1, r1f0={"flags": {NAMES[0]: 4 | 2}}, r2f1={"flags": {NAMES[1]: 64, NAMES[0]: 4}})
    report = hrrr_dask.check(store.url)
    assert report.outcome == "ok"
    assert report.flags == {"moisture-sentinel": 2, "above-limits": 1, "no-data-sentinel": 1}
    assert hrrr_dask.check(store.url, max_flags="8.4%").outcome == "ok"  # 2 of 24 fields; a sentinel is plausible
    failed = hrrr_dask.check(store.url, max_flags="8.3%").failed
    assert [each.name for each in failed] == ["flags"]
    assert "8.3 % of the fields have an implausible value" in failed[0].found


def damage(store, name, key):
    """Replace a shard by a valid one with one other value."""
    root = Path(store.url)
    document = json.loads((root / name / "zarr.json").read_bytes())
    shard = decode_shard(document, (root / key).read_bytes()).copy()
    shard[1, 1, 0] += 1
    (root / key).write_bytes(encode_shard(document, shard))


def test_a_changed_value_is_found_by_its_checksum(whole):
    damage(whole, NAMES[1], f"{NAMES[1]}/c/1/0/0")
    report = hrrr_dask.check(whole.url, checksums="100%")
    (failed,) = report.failed
    assert failed.name == "checksums"
    assert (report.checksums_compared, report.checksums_differing) == (24 * 5, 5)
    assert "20240103T12-f01" in failed.found
    assert hrrr_dask.check(whole.url, checksums="100%", end="2024-01-02").outcome == "ok"


def test_the_sample_is_of_some_arrays_and_depends_on_the_seed(whole):
    damage(whole, NAMES[1], f"{NAMES[1]}/c/1/0/0")
    found = [hrrr_dask.check(whole.url, checksums=1, seed=seed) for seed in range(20)]
    assert {report.outcome for report in found} == {"ok", "failed"}
    assert {report.checksums_compared for report in found} == {8 * 5, 4 * 5}, "temperature has two lead times"
    assert hrrr_dask.check(whole.url, checksums=4).exit_code == 3
    assert hrrr_dask.check(whole.url, checksums=0).checksums_compared == 0
    two_of_four = [hrrr_dask.check(whole.url, checksums="26%", seed=seed) for seed in range(20)]
    assert {report.checksums_compared for report in two_of_four} == {8 * 5, 12 * 5, 16 * 5}


def test_values_without_a_checksum_are_not_said_to_match(store):
    commit(store, *partition_outcomes(1), partition=1)
    report = hrrr_dask.check(store.url, start="2024-01-03", max_age="none", checksums=9)
    assert report.checksums_compared == 0
    assert report.checks[-1].found.startswith("the values of precipitation_1h, temperature_2m have none")


def test_a_damaged_shard_is_a_failed_check(whole):
    key = f"{NAMES[0]}/c/0/0/0"
    Path(whole.url, key).write_bytes(b"no shard")
    report = hrrr_dask.check(whole.url, checksums=4)
    (failed,) = report.failed
    assert key in failed.found


@pytest.fixture(scope="module")
def s3():
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.create_bucket("stores")
        yield server


def test_a_check_of_a_bucket_is_a_few_requests_and_none_writes(s3):
    store = make_store("s3://stores/x.zarr")
    fill(store, 0)
    fill(store, 1)
    with StoreProxy(s3.endpoint) as proxy:
        options = {"endpoint": proxy.url}
        assert hrrr_dask.check(store.url, store_options=options, checksums=1, seed=1).outcome == "ok"
        # The root document, the first step of growth, the list of the ledger, its two entries, two shards of an array.
        assert dict(proxy.requests) == {"GET": 7}
        assert hrrr_dask.check(store.url, store_options=options, checksums=0, period="1d").outcome == "ok"
        assert dict(proxy.requests) == {"GET": 7 + 4}, "the entry of the other partition is not read"
        report = hrrr_dask.check(store.url, store_options=options, writable=True, checksums=0)
        assert result(report)["writable"]
        assert {method for method in proxy.requests if method != "GET"} == {"PUT", "POST"}
        before = s3.client().list_objects_v2(Bucket="stores")["KeyCount"]
        proxy.follow(Rule("403", method="PUT"))
        report = hrrr_dask.check(store.url, store_options=options, writable=True)
        (failed,) = report.failed
        assert failed.name == "writable"
        assert s3.client().list_objects_v2(Bucket="stores")["KeyCount"] == before


def test_a_writable_directory_is_left_as_it_was(whole):
    before = read_tree(whole.url)
    assert result(hrrr_dask.check(whole.url, writable=True))["writable"]
    assert read_tree(whole.url) == before


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"max_gaps": "1"}, "max-gaps '1' is not a share"),
        ({"max_gaps": "200%"}, "is not a share"),
        ({"max_flags": "many"}, "max-flags 'many' is not a share"),
        ({"max_age": "3 hours"}, "max-age '3 hours' is not a duration"),
        ({"checksums": "few"}, "checksums 'few' is neither a number"),
        ({"checksums": -1}, "is neither a number"),
        ({"period": "7d", "end": "2024-01-02"}, "say in two ways"),
        ({"period": "a week"}, "period 'a week' is not a duration"),
    ],
)
def test_limits_that_make_no_sense_are_refused(whole, given, text):
    with pytest.raises(ConfigError, match=text):
        hrrr_dask.check(whole.url, **given)


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), (".5", 0.5), ("0", 0), ("100%", 1), (1, 1), (0.01, 0.01)]
)
def test_a_share_is_a_percentage_or_a_fraction(text, share):
    assert parse_share("it", text) == share


def run(*arguments):
    return CliRunner().invoke(cli, ["check", *arguments])


def test_the_command_prints_a_summary_and_a_line_for_each_check(store):
    done = run("--store", store.url, "--max-gaps", "60%", "--max-age", "1h")
    assert done.exit_code == 3
    first, *lines = done.stdout.splitlines()
    assert first.startswith(f"FAILED {store.url}: age: the newest run, 2024-01-02T12, is 2 d 4 h old")
    assert len(lines) < 24, "one screen"
    begun = {line.split()[0]: line.split()[1] for line in lines if line[:1].strip()}
    assert begun["age"] == "failed,"
    assert begun["gaps"] == begun["flags"] == begun["checksums"] == begun["readable"] == "ok,"


def test_the_command_exits_with_0_and_prints_json(whole):
    done = run("--store", whole.url, "--checksums", "100%", "--json")
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert (answer["outcome"], answer["newest_run"], answer["values_wanted"]) == ("ok", "2024-01-04T12:00:00", 24)
    assert [each["name"] for each in answer["checks"]] == ["readable", "age", "gaps", "flags", "checksums"]
    assert answer["summary"].startswith("OK ")


def test_what_prevents_a_check_has_the_exit_code_that_it_has_for_other_commands(tmp_path, store):
    done = run("--store", str(tmp_path / "nowhere"), "--json")
    assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (2, StoreMismatchError.code)
    assert run("--store", store.url, "--max-age", "soon").exit_code == 2
    (entry,) = Path(store.url, ".hrrr/ledger").rglob("*.parquet")
    entry.write_bytes(b"no ledger")
    done = run("--store", store.url)
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr
