"""What one source lacked comes from the next, and the ledger says why."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from support.outcomes import hourly_outcome

from hrrr_dask.archive.failover import fill_gaps, remaining_reading
from hrrr_dask.records import Extract, FileOutcome, GribFile, Origin, Reading

FILE = GribFile(datetime(2024, 1, 1, 6), 5)
NAMES = ("t", "rain", "wind")
AWS, GOOGLE, AZURE = (Origin(f"{place}/key", etag) for place, etag in (("aws", "1"), ("google", "2"), ("azure", "3")))


def extracts(origin: Origin, names=NAMES, value=0.0, **reasons: str) -> list[Extract]:
    there = [name for name in names if name not in reasons]
    values = np.full((len(names), 2), value, np.float32)
    values[[name in reasons for name in names]] = np.nan
    outcome = hourly_outcome(
        FILE,
        tuple(names),
        reasons,
        {name: f"{name} is bad" for name in reasons},
        origin,
        bytes_read=10,
        requests=2,
        seconds=1.0,
        fetch_s=0.75,
        engines=dict.fromkeys(there, "numba"),
        checksums=dict.fromkeys(there, int(value)),
        flags=dict.fromkeys(there[:1], 4),
    )
    return [Extract(values, outcome)]


def test_only_what_is_missing_is_read_again():
    reading = Reading.of(FILE, NAMES, 3)
    left = remaining_reading(reading, [each.outcome for each in extracts(AWS, wind="truncated", t="unreachable")])
    assert left == Reading.of(FILE, ("t", "wind"), 3)


def test_a_value_of_the_next_source_stands_in_and_says_what_was_wrong_before():
    first = extracts(AWS, value=1.0, rain="truncated", wind="wrong-identity")
    (both,) = fill_gaps(first, extracts(GOOGLE, ("rain", "wind"), 2.0, wind="message-not-found"))
    assert both.values[:2].tolist() == [[1, 1], [2, 2]]
    assert np.isnan(both.values[2]).all()
    outcome = both.outcome
    assert outcome.reasons == {"wind": "wrong-identity"}
    assert outcome.details == {
        "rain": "truncated (aws/key): rain is bad",
        "wind": "wind is bad; then message-not-found (google/key): wind is bad",
    }
    assert [outcome.origin_of(name) for name in NAMES] == [AWS, GOOGLE, AWS]
    assert (outcome.bytes_read, outcome.requests, outcome.seconds, outcome.fetch_s) == (20, 4, 2.0, 1.5)
    assert outcome.engines == {"t": "numba", "rain": "numba"}
    assert outcome.checksums == {"t": 1, "rain": 2}
    assert outcome.flags == {"t": 4, "rain": 4}
    assert np.isnan(first[0].values[1]).all(), "what was given is left alone"


def test_three_sources_may_each_have_a_part():
    some = extracts(AWS, value=1.0, rain="truncated", wind="truncated")
    some = fill_gaps(some, extracts(GOOGLE, ("rain", "wind"), 2.0, wind="unreachable"))
    (found,) = fill_gaps(some, extracts(AZURE, ("wind",), 3.0))
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
    (found,) = fill_gaps(extracts(AWS, t=first), extracts(GOOGLE, ("t",), t=then))
    assert found.outcome.reasons == {"t": kept}


def test_a_source_that_the_detail_names_is_not_named_twice():
    outcome = hourly_outcome(FILE, ("t",), {"t": "truncated"}, {"t": "aws/key ends early"}, AWS)
    (found,) = fill_gaps([Extract(np.full((1, 2), np.nan, np.float32), outcome)], extracts(GOOGLE, ("t",)))
    assert found.outcome.details == {"t": "truncated: aws/key ends early"}


def test_each_lead_time_of_a_file_has_its_own_gaps():
    quarters = GribFile(datetime(2024, 1, 1, 6), 1, "subh")
    reading = Reading(quarters, ((15, NAMES), (30, ("t",)), (60, NAMES)))

    def of_file(origin: Origin, value: float, wanted: dict[int, tuple[str, ...]], gaps: dict[int, tuple[str, ...]]):
        return [
            Extract(
                np.full((len(names), 2), value, np.float32),
                FileOutcome(
                    quarters, lead, names, dict.fromkeys(gaps.get(lead, ()), "truncated"), origin=origin, bytes_read=5
                ),
            )
            for lead, names in wanted.items()
        ]

    first = of_file(AWS, 1.0, dict(reading.by_lead), {15: ("rain",), 60: NAMES})
    left = remaining_reading(reading, [each.outcome for each in first])
    assert left == Reading(quarters, ((15, ("rain",)), (60, NAMES)))
    found = fill_gaps(first, of_file(GOOGLE, 2.0, dict(left.by_lead), {60: ("t",)}))
    assert [each.values[:, 0].tolist() for each in found] == [[1, 2, 1], [1], [1, 2, 2]]
    assert [each.outcome.reasons for each in found] == [{}, {}, {"t": "truncated"}]
    assert [each.outcome.bytes_read for each in found] == [10, 10, 10], "figures of the file"
