"""The ledger: entries that can be read back, folded to what is known of each value, and what is tried again."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import BytesIO

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrrr_dask.blobs import Blobs
from hrrr_dask.errors import StoreConflictError, StoreError
from hrrr_dask.ledger import (
    LEDGER_PREFIX,
    SCHEMA,
    Ledger,
    count_gaps,
    encode_entry,
    finished,
    fold,
    to_dataframe,
)
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, OUTCOMES
from hrrr_dask.planning import Axis
from hrrr_dask.records import FileOutcome, GribFile

AXIS = Axis(datetime(2024, 1, 1), (0, 6, 18))
LEADS = (0, 3, 12)
NAMES = ("t", "rain")
N_INIT = 6
GAPS = tuple(name for name in OUTCOMES if name not in ("not-ingested", "complete", "not-in-this-era"))
NUMBER = {name: outcome.number for name, outcome in OUTCOMES.items()}


def outcome(index: int, lead: int, reasons: dict[str, str], wanted: tuple[str, ...] = NAMES) -> FileOutcome:
    return FileOutcome(
        GribFile(AXIS.init_time(index), lead),
        wanted,
        reasons,
        details={name: f"why {name}" for name in reasons},
        source="s3://bucket/key",
        etag='"abc"',
        published=datetime(2024, 1, 1, 1, 2, 3),
        inventory="idx",
        bytes_read=1000,
        requests=3,
        seconds=0.5,
    )


def table(*outcomes: FileOutcome):
    return pq.read_table(BytesIO(encode_entry(outcomes, {}))).cast(SCHEMA)


def folded(*outcomes: FileOutcome) -> np.ndarray:
    return fold(table(*outcomes), AXIS, N_INIT, LEADS, NAMES)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(Blobs(str(tmp_path), {}))


def test_an_entry_has_a_row_for_each_variable_that_was_wanted_of_a_file():
    rows = table(outcome(1, 3, {"rain": "truncated"}), outcome(2, 0, {}, wanted=("t",))).to_pylist()
    assert [(row["variable"], row["outcome"], row["detail"]) for row in rows] == [
        ("t", "complete", ""),
        ("rain", "truncated", "why rain"),
        ("t", "complete", ""),
    ]
    assert rows[1] == {
        "init_time": datetime(2024, 1, 1, 6),
        "lead_hours": 3,
        "variable": "rain",
        "outcome": "truncated",
        "detail": "why rain",
        "source": "s3://bucket/key",
        "etag": '"abc"',
        "published": datetime(2024, 1, 1, 1, 2, 3),
        "inventory": "idx",
        "file_bytes_read": 1000,
        "file_requests": 3,
        "file_seconds": 0.5,
    }


def test_an_entry_carries_its_note_and_version():
    data = encode_entry([outcome(0, 0, {})], {"job": "j1", "engine": "eccodes"})
    about = json.loads(pq.read_schema(BytesIO(data)).metadata[b"hrrr_dask"])
    assert about == {"entry_version": 1, "job": "j1", "engine": "eccodes"}


def test_an_entry_without_files_can_be_read():
    assert table().num_rows == 0
    assert (folded() == NOT_INGESTED).all()


def test_a_source_without_a_date_leaves_it_out():
    without = FileOutcome(GribFile(AXIS.init_time(0), 0), ("t",), {})
    assert table(without).to_pylist()[0]["published"] is None


OUTCOME_LISTS = st.lists(
    st.builds(
        outcome,
        st.integers(0, N_INIT - 1),
        st.sampled_from(LEADS),
        st.dictionaries(st.sampled_from(NAMES), st.sampled_from(GAPS)),
        st.sampled_from([NAMES, ("t",), ("rain",)]),
    ),
    max_size=12,
)


@settings(max_examples=50)
@given(OUTCOME_LISTS)
def test_a_value_once_complete_stays_so_and_else_the_latest_attempt_counts(outcomes):
    expected = np.zeros((len(NAMES), N_INIT, len(LEADS)), dtype=np.uint8)
    for each in outcomes:
        for name in each.wanted:
            place = NAMES.index(name), AXIS.index(each.file.init_time), LEADS.index(each.file.lead_hours)
            if expected[place] != COMPLETE:
                expected[place] = NUMBER[each.reasons.get(name, "complete")]
    found = folded(*outcomes)
    assert found.dtype == np.uint8
    assert found.tolist() == expected.tolist()


def test_a_complete_value_outlives_a_later_gap_and_replaces_an_earlier_one():
    gap, there = outcome(1, 3, {"t": "truncated"}), outcome(1, 3, {})
    for attempts in ((gap, there), (there, gap), (gap, there, gap)):
        assert folded(*attempts)[0, 1, 1] == COMPLETE
    later = outcome(1, 3, {"t": "not-published"})
    assert folded(gap, later)[0, 1, 1] == NUMBER["not-published"]
    assert folded(later, gap)[0, 1, 1] == NUMBER["truncated"]


@pytest.mark.parametrize(
    "foreign",
    [
        FileOutcome(GribFile(datetime(2024, 1, 1, 6), 7), NAMES, {}),
        FileOutcome(GribFile(datetime(2024, 1, 1, 6), 40), NAMES, {}),
        FileOutcome(GribFile(datetime(2024, 1, 2, 12), 0), NAMES, {}),
        FileOutcome(GribFile(datetime(2024, 1, 2, 23), 0), NAMES, {}),
        FileOutcome(GribFile(datetime(2023, 12, 31, 18), 0), NAMES, {}),
        FileOutcome(GribFile(datetime(2024, 1, 3, 0), 0), NAMES, {}),
        FileOutcome(GribFile(datetime(2024, 1, 1, 6), 0), ("wind",), {}),
        FileOutcome(GribFile(datetime(2024, 1, 1, 6), 0), NAMES, dict.fromkeys(NAMES, "a reason of the future")),
    ],
    ids=["lead", "longer lead", "cycle", "later cycle", "before", "beyond", "variable", "outcome"],
)
def test_rows_that_this_store_has_no_place_for_are_ignored(foreign):
    assert folded(foreign).tolist() == np.zeros((2, N_INIT, 3)).tolist()
    here = outcome(5, 12, {"rain": "truncated"})
    assert folded(foreign, here).tolist() == folded(here).tolist()


NOW = datetime(2024, 2, 1, 12)
TODAY = Axis(datetime(2024, 1, 1), (0, 12))


def all_of(name: str, days: int = 32) -> np.ndarray:
    return np.full((1, 2 * days, 1), NUMBER[name], dtype=np.uint8)


@pytest.mark.parametrize("name", list(OUTCOMES))
def test_what_heals_decides_what_is_tried_again(name):
    done = finished(all_of(name), TODAY, NOW)[:, 0]
    young = np.array([NOW - TODAY.init_time(index) <= timedelta(days=7) for index in range(64)])
    expected = {"always": np.zeros(64, bool), "never": np.ones(64, bool), "young": ~young}[OUTCOMES[name].heals]
    assert done.tolist() == expected.tolist()


def test_a_gap_is_tried_again_for_exactly_seven_days():
    done = finished(all_of("not-published"), TODAY, NOW)[:, 0]
    assert done[TODAY.index(datetime(2024, 1, 25, 0))]
    assert not done[TODAY.index(datetime(2024, 1, 25, 12))]


def test_all_gaps_are_tried_again_when_told_to_but_not_what_is_there_or_never_was():
    assert not finished(all_of("truncated"), TODAY, NOW, retry_gaps=True).any()
    assert finished(all_of("complete"), TODAY, NOW, retry_gaps=True).all()
    assert finished(all_of("not-in-this-era"), TODAY, NOW, retry_gaps=True).all()


def test_a_file_is_done_when_each_of_its_variables_is():
    codes = np.full((2, 2, 2), COMPLETE, dtype=np.uint8)
    codes[1, 0, 0] = NOT_OFFERED
    codes[1, 0, 1] = NOT_INGESTED
    codes[0, 1, 0] = NUMBER["unreachable"]
    codes[0, 1, 1] = NUMBER["message-not-found"]
    assert finished(codes, AXIS, datetime(2025, 1, 1)).tolist() == [[True, False], [False, True]]


def test_gaps_are_counted_by_reason_the_most_common_first():
    codes = np.array([[0, 1, 2, 7], [7, 8, 8, 8]], dtype=np.uint8)[None]
    assert list(count_gaps(codes).items()) == [("not-published", 3), ("truncated", 2)]
    assert count_gaps(np.zeros((0, 0, 0), np.uint8)) == {}


def test_entries_are_read_in_the_order_in_which_they_were_committed(ledger):
    for partition, attempt, lead in ((1, "20240101T03", 3), (0, "20240101T02", 12), (1, "20240101T01", 0)):
        key = ledger.write(partition, attempt, encode_entry([outcome(0, lead, {})], {}))
        assert key == f"{LEDGER_PREFIX}/{partition:06d}/{attempt}.parquet"
    assert ledger.read()["lead_hours"].to_pylist() == [0, 0, 12, 12, 3, 3]
    assert ledger.read(1)["lead_hours"].to_pylist() == [0, 0, 3, 3]
    assert ledger.read(2).num_rows == 0
    assert ledger.read(2).schema.equals(SCHEMA)


def test_an_attempt_is_committed_once(ledger):
    entry = encode_entry([outcome(0, 0, {})], {})
    ledger.write(0, "a", entry)
    with pytest.raises(StoreConflictError, match="another writer was there first"):
        ledger.write(0, "a", entry)
    assert ledger.read().num_rows == 2


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all"])
def test_a_damaged_entry_names_itself_and_what_to_do(ledger, tmp_path, damage):
    key = ledger.write(3, "a", damage)
    with pytest.raises(StoreError, match=rf"{key} cannot be read: .*Remove it to have that partition read"):
        ledger.read()


def test_an_entry_of_other_columns_is_named_too(ledger):
    sink = BytesIO()
    pq.write_table(table(outcome(0, 0, {})).drop_columns(["etag"]), sink)
    ledger.write(0, "a", sink.getvalue())
    with pytest.raises(StoreError, match="cannot be read"):
        ledger.read()


def test_people_can_read_the_ledger_as_a_table(ledger, tmp_path):
    ledger.write(0, "a", encode_entry([outcome(0, 0, {"t": "truncated"})], {}))
    ledger.write(0, "b", encode_entry([outcome(0, 0, {})], {}))
    frame = to_dataframe(str(tmp_path))
    assert frame["outcome"].tolist() == ["truncated", "complete", "complete", "complete"]
    assert list(frame.columns) == SCHEMA.names
