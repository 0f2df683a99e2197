"""Every gap is listed once, with what is known of it and when it is tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from support.specs import AXIS, NAMES, SELECTION, attempt, outcome

from hrrr_dask.ledger.gaps import list_gaps
from hrrr_dask.ledger.rows import decode_entry, encode_entry
from hrrr_dask.ledger.state import reduce_rows
from hrrr_dask.outcomes import OUTCOMES, QUARANTINED
from hrrr_dask.records import Origin

T, RAIN = NAMES
INITS = slice(0, 8)
LATE = datetime(2025, 1, 1)


def table(*outcomes):
    return decode_entry(encode_entry(outcomes, attempt()))


def gaps_of(*tables, now=LATE, inits=INITS):
    codes = reduce_rows(tables, SELECTION, AXIS, inits, (5,)).published_codes
    return list_gaps(tables, SELECTION, AXIS, inits, codes, now)


def test_variables_of_a_file_are_together_when_they_are_missing_for_one_reason():
    here = Origin("s3://bucket/key", '"abc"')
    found = gaps_of(
        table(
            outcome(2, 1, dict.fromkeys(NAMES, "truncated"), origin=here),
            outcome(0, 1, {T: "not-published", RAIN: "unreachable"}),
            outcome(1, 1),
        )
    )
    told = [(gap.init_time, gap.lead_minutes, gap.reason, gap.variables) for gap in found]
    assert told == [
        (AXIS.init_time(0), 60, "not-published", (T,)),
        (AXIS.init_time(0), 60, "unreachable", (RAIN,)),
        (AXIS.init_time(2), 60, "truncated", NAMES),
    ]
    last = found[-1]
    assert (last.source, last.etag, last.detail, last.attempts) == ("s3://bucket/key", '"abc"', f"why {T}", 1)


def test_a_gap_that_was_tried_again_has_what_was_found_last_and_one_that_healed_is_gone():
    found = gaps_of(
        table(outcome(0, 1, dict.fromkeys(NAMES, "not-published"))),
        table(outcome(0, 1, dict.fromkeys(NAMES, "unreachable"))),
        table(replace(outcome(0, 1, {T: "truncated"}), details={T: "cut off"})),
    )
    (gap,) = found
    assert (gap.variables, gap.reason, gap.attempts, gap.detail) == ((T,), "truncated", 3, "cut off")


@pytest.mark.parametrize("reason", ["truncated", "wrong-identity", "not-published", "poisoned", "message-not-found"])
def test_what_may_heal_while_a_run_is_young_says_until_when(reason):
    rows = table(outcome(0, 1, {T: reason}))
    last = AXIS.init_time(0) + timedelta(days=7)
    assert gaps_of(rows, now=last)[0].again == f"until {last:%Y-%m-%dT%H}"
    assert gaps_of(rows, now=last + timedelta(hours=1))[0].again == "--retry-gaps"


@pytest.mark.parametrize("reason", ["unreachable", "access-denied", "internal-error"])
def test_what_is_not_the_archives_fault_is_tried_by_the_next_run(reason):
    assert gaps_of(table(outcome(0, 1, {T: reason})))[0].again == "next run"


def test_bytes_that_were_refused_are_in_quarantine():
    reasons = ["truncated", "wrong-identity", "decode-failed", "poisoned", "not-published", "unreachable"]
    found = gaps_of(table(*(outcome(k, 1, {T: reason}) for k, reason in enumerate(reasons))))
    assert [gap.reason for gap in found if gap.quarantined] == reasons[:4]
    assert set(OUTCOMES) >= QUARANTINED


def test_only_the_init_times_that_are_wanted_are_listed():
    rows = table(*(outcome(k, 1, {T: "truncated"}) for k in range(8)))
    assert [gap.init_time for gap in gaps_of(rows, inits=slice(2, 4))] == [AXIS.init_time(2), AXIS.init_time(3)]


def test_a_ledger_without_gaps_lists_none():
    assert gaps_of(table(outcome(0, 1))) == ()
    assert gaps_of(inits=slice(0, 0)) == ()
    assert gaps_of() == ()
