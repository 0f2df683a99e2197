"""What one source lacked comes from the next, and the ledger says why."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from hrrr_dask.archive.failover import fill_gaps, remaining_reading
from hrrr_dask.records import Extract, FileOutcome, GribFile, Origin, Reading

FILE = GribFile(datetime(2024, 1, 1, 6), 5)
NAMES = ("t", "rain", "wind")
AWS, GOOGLE, AZURE = (Origin(f"{place}/key", etag) for place, etag in (("aws", "1"), ("google", "2"), ("azure", "3")))


def extract(origin: Origin, names=NAMES, value=0.0, **reasons: str) -> Extract:
    there = [name for name in names if name not in reasons]
    values = np.full((len(names), 2), value, np.float32)
    values[[name in reasons for name in names]] = np.nan
    outcome = FileOutcome(
        FILE,
        tuple(names),
        reasons,
        {name: f"{name} is bad" for name in reasons},
        origin,
        bytes_read=10,
        requests=2,
        seconds=1.0,
        engines=dict.fromkeys(there, "numba"),
        checksums=dict.fromkeys(there, int(value)),
        flags=dict.fromkeys(there[:1], 4),
    )
    return Extract(values, outcome)


def test_only_what_is_missing_is_read_again():
    reading = Reading(FILE, NAMES, 3)
    left = remaining_reading(reading, extract(AWS, wind="truncated", t="unreachable").outcome)
    assert left == Reading(FILE, ("t", "wind"), 3)


def test_a_value_of_the_next_source_stands_in_and_says_what_was_wrong_before():
    first = extract(AWS, value=1.0, rain="truncated", wind="wrong-identity")
    both = fill_gaps(first, extract(GOOGLE, ("rain", "wind"), 2.0, wind="message-not-found"))
    assert both.values[:2].tolist() == [[1, 1], [2, 2]]
    assert np.isnan(both.values[2]).all()
    outcome = both.outcome
    assert outcome.reasons == {"wind": "wrong-identity"}
    assert outcome.details == {
        "rain": "truncated (aws/key): rain is bad",
        "wind": "wind is bad; then message-not-found (google/key): wind is bad",
    }
    assert [outcome.origin_of(name) for name in NAMES] == [AWS, GOOGLE, AWS]
    assert (outcome.bytes_read, outcome.requests, outcome.seconds) == (20, 4, 2.0)
    assert outcome.engines == {"t": "numba", "rain": "numba"}
    assert outcome.checksums == {"t": 1, "rain": 2}
    assert outcome.flags == {"t": 4, "rain": 4}
    assert np.isnan(first.values[1]).all(), "what was given is left alone"


def test_three_sources_may_each_have_a_part():
    found = extract(AWS, value=1.0, rain="truncated", wind="truncated")
    found = fill_gaps(found, extract(GOOGLE, ("rain", "wind"), 2.0, wind="unreachable"))
    found = fill_gaps(found, extract(AZURE, ("wind",), 3.0))
    assert found.values[:, 0].tolist() == [1, 2, 3]
    assert found.outcome.reasons == {}
    assert [found.outcome.origin_of(name) for name in NAMES] == [AWS, GOOGLE, AZURE]
    told = "unreachable (aws/key): wind is bad; then unreachable (google/key): wind is bad"
    assert found.outcome.details["wind"] == told


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        ("not-published", "unreachable", "unreachable"),
        ("unreachable", "not-published", "unreachable"),
        ("truncated", "not-published", "truncated"),
        ("message-not-found", "access-denied", "access-denied"),
    ],
)
def test_a_gap_that_may_heal_in_one_source_stays_one_that_heals(first, then, kept):
    assert fill_gaps(extract(AWS, t=first), extract(GOOGLE, ("t",), t=then)).outcome.reasons == {"t": kept}


def test_a_source_that_the_detail_names_is_not_named_twice():
    outcome = FileOutcome(FILE, ("t",), {"t": "truncated"}, {"t": "aws/key ends early"}, AWS)
    found = fill_gaps(Extract(np.full((1, 2), np.nan, np.float32), outcome), extract(GOOGLE, ("t",)))
    assert found.outcome.details == {"t": "truncated: aws/key ends early"}
