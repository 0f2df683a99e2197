"""Ledger entries: a row for each value that was to be read, spelled so that any reader of Parquet understands."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outcomes import hourly_outcome
from support.specs import attempt, outcome

from hrrr_dask.ledger.rows import ENTRY_VERSION, SCHEMA, checksum, encode_entry
from hrrr_dask.records import FileOutcome, GribFile, Origin

ABOUT = {
    "origin": Origin("s3://bucket/key", '"abc"', datetime(2024, 1, 1, 1, 2, 3), "idx"),
    "bytes_read": 1000,
    "requests": 3,
    "seconds": 0.5,
}


def table(*outcomes: FileOutcome, tried=None):
    return pq.read_table(BytesIO(encode_entry(outcomes, attempt(7, 2), tried))).cast(SCHEMA)


def test_an_entry_has_a_row_for_each_variable_that_was_to_be_read_of_a_file():
    rows = table(
        outcome(1, 3, {"rain": "truncated"}, ("t", "rain"), (2, 9), **ABOUT), outcome(2, 0, {}, ("t",))
    ).to_pylist()
    assert [(row["variable"], row["outcome"], row["detail"]) for row in rows] == [
        ("t", "complete", ""),
        ("rain", "truncated", "why rain"),
        ("t", "complete", ""),
    ]
    assert rows[1] == {
        "init_time": datetime(2024, 1, 1, 12),
        "lead_hours": 3,
        "lead_minutes": 180,
        "variable": "rain",
        "outcome": "truncated",
        "detail": "why rain",
        "first_point": 2,
        "n_points": 9,
        "attempt": 1,
        "source": "s3://bucket/key",
        "etag": '"abc"',
        "published": datetime(2024, 1, 1, 1, 2, 3),
        "ingested": datetime(2024, 3, 1, 12),
        "inventory": "idx",
        "file_bytes_read": 1000,
        "file_requests": 3,
        "file_seconds": 0.5,
        "checksum": None,
        "flags": 0,
        "engine": "eccodes",
        "package_version": "1.2.3",
        "job": "job",
        "entry": "000007/20240301T120000.000000Z-job-2.parquet",
    }


def test_the_tries_of_a_value_are_counted_on():
    rows = table(outcome(0, 0), outcome(0, 1), tried=np.array([0, 1, 0, 6], np.int32))
    assert rows["attempt"].to_pylist() == [1, 2, 1, 7]


def test_an_entry_carries_its_version_and_its_partition():
    about = json.loads(pq.read_schema(BytesIO(encode_entry([outcome(0, 0)], attempt(7)))).metadata[b"hrrr_dask"])
    assert about == {"entry_version": ENTRY_VERSION, "partition": 7}


def test_an_entry_without_files_can_be_read():
    assert table().num_rows == 0
    assert table().schema.equals(SCHEMA)


def test_a_source_without_a_date_leaves_it_out():
    without = hourly_outcome(GribFile(datetime(2024, 1, 1), 0), ("t",), {})
    assert table(without).to_pylist()[0]["published"] is None


def test_a_variable_has_the_place_checksum_and_flags_of_its_own():
    mirror = Origin("gs://mirror/key", '"def"', None, "walk")
    told = outcome(
        0, 3, {}, ("t", "rain"), origin=Origin("s3://a/key"), elsewhere={"rain": mirror}, checksums={"t": 2**32 - 1}
    )
    t, rain = table(replace(told, flags={"rain": 5})).to_pylist()
    assert (t["source"], t["inventory"], t["checksum"], t["flags"]) == ("s3://a/key", "", 2**32 - 1, 0)
    assert (rain["source"], rain["inventory"], rain["checksum"], rain["flags"]) == ("gs://mirror/key", "walk", None, 5)


def test_the_checksum_is_that_of_rfc_3720():
    assert checksum(np.zeros(8, np.float32)) == 0x8A9136AA  # 32 bytes of zeros, RFC 3720, appendix B.4
    assert checksum(np.full(8, np.uint32(2**32 - 1)).view(np.float32)) == 0x62A8AB43  # and of ones
    assert checksum(np.arange(4, dtype=">f4")) == checksum(np.arange(4, dtype=np.float32))


def test_the_same_outcomes_give_the_same_bytes():
    assert encode_entry([outcome(0, 0)], attempt()) == encode_entry([outcome(0, 0)], attempt())


MOMENTS = st.datetimes(datetime(2014, 1, 1), datetime(2100, 1, 1))


@settings(deadline=None)
@given(MOMENTS, MOMENTS, st.integers(0, 999_999), st.integers(0, 99))
def test_names_of_entries_sort_by_the_moment_of_the_commit_within_their_partition(one, other, partition, number):
    first, second = (replace(attempt(partition, number), ingested=moment).entry for moment in (one, other))
    assert first.startswith(f"{partition:06d}/")
    assert (first < second) == (one < other)
    assert (first == second) == (one == other)


@pytest.mark.parametrize("change", [{"job": "other"}, {"number": 2}, {"partition": 1}])
def test_two_commits_of_one_moment_have_two_names(change):
    assert replace(attempt(), **change).entry != attempt().entry
