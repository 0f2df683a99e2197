"""Extracts in any order become the same arrays; a gap never hides a value."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.assemble import Slab, assemble
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, OUTCOMES
from hrrr_dask.planning import Axis
from hrrr_dask.records import Extract, FileOutcome, GribFile

AXIS = Axis(datetime(2024, 1, 1), (0, 12))
NAMES = ("t", "rain")
LEADS = (0, 3, 6)
N_INIT, N_POINTS, FIRST = 4, 2, 4
GAPS = tuple(name for name in OUTCOMES if name not in ("not-ingested", "complete", "not-in-this-era"))
T, RAIN = range(2)
VALUES = np.zeros((len(NAMES), N_POINTS), np.float32)


def empty() -> Slab:
    shape = (len(NAMES), N_INIT, len(LEADS))
    return Slab(np.full((*shape, N_POINTS), np.nan, np.float32), np.zeros(shape, np.uint8))


def extract(row: int, lead: int, number: float, reasons: dict[str, str], wanted: tuple[str, ...] = NAMES) -> Extract:
    """All values of a file are a number of its own, NaN where a reason is given."""
    file = GribFile(AXIS.init_time(FIRST + row), LEADS[lead])
    values = np.full((len(NAMES), N_POINTS), number, np.float32) + np.arange(N_POINTS, dtype=np.float32) / 8
    for v, name in enumerate(NAMES):
        if name in reasons or name not in wanted:
            values[v] = np.nan
    return Extract(values, FileOutcome(file, wanted, reasons))


def lay(before: Slab, *extracts: Extract) -> Slab:
    return assemble(before, extracts, axis=AXIS, first_init=FIRST, variables=NAMES, lead_hours=LEADS)


def same(one: Slab, other: Slab) -> bool:
    return one.values.tobytes() == other.values.tobytes() and one.outcomes.tobytes() == other.outcomes.tobytes()


REASONS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(GAPS))
PLACES = st.tuples(st.integers(0, N_INIT - 1), st.integers(0, len(LEADS) - 1))


@st.composite
def pieces(draw):
    places = draw(st.lists(PLACES, unique=True))
    return [extract(row, lead, draw(st.integers(1, 999)), draw(REASONS)) for row, lead in places]


@given(pieces(), pieces(), st.data())
def test_the_order_of_extracts_does_not_matter(first, second, data):
    before = lay(empty(), *first)
    assert same(lay(before, *second), lay(before, *data.draw(st.permutations(second))))


@given(pieces(), pieces())
def test_every_value_is_the_newest_that_is_there_and_every_gap_has_its_reason(first, second):
    result = lay(lay(empty(), *first), *second)
    for row in range(N_INIT):
        for lead in range(len(LEADS)):
            file = GribFile(AXIS.init_time(FIRST + row), LEADS[lead])
            told = [piece for piece in (*first, *second) if piece.outcome.file == file]
            for v, name in enumerate(NAMES):
                there = [piece for piece in told if name not in piece.outcome.reasons]
                if there:
                    assert result.outcomes[v, row, lead] == COMPLETE
                    assert result.values[v, row, lead].tolist() == there[-1].values[v].tolist()
                else:
                    reason = told[-1].outcome.reasons[name] if told else "not-ingested"
                    assert result.outcomes[v, row, lead] == OUTCOMES[reason].number
                    assert np.isnan(result.values[v, row, lead]).all()


@pytest.mark.parametrize("reason", GAPS)
def test_a_new_gap_never_hides_an_old_value(reason):
    before = lay(empty(), extract(1, 2, 280.0, {}))
    after = lay(before, extract(1, 2, 0.0, dict.fromkeys(NAMES, reason)))
    assert same(before, after)


def test_a_new_value_replaces_an_old_one_and_an_old_gap():
    before = lay(empty(), extract(0, 0, 1.0, {"rain": "truncated"}))
    after = lay(before, extract(0, 0, 2.0, {}))
    assert after.values[:, 0, 0, 0].tolist() == [2.0, 2.0]
    assert (after.outcomes[:, 0, 0] == COMPLETE).all()


def test_what_was_committed_before_is_not_changed_in_place():
    before = lay(empty(), extract(0, 0, 1.0, {}))
    kept = Slab(before.values.copy(), before.outcomes.copy())
    lay(before, extract(0, 0, 2.0, {}))
    assert same(before, kept)


def test_a_file_lies_at_its_own_init_and_lead_time():
    after = lay(empty(), extract(3, 1, 7.0, {}))
    assert np.argwhere(after.outcomes[T] == COMPLETE).tolist() == [[3, 1]]
    assert np.argwhere(~np.isnan(after.values[T, ..., 0])).tolist() == [[3, 1]]


def test_a_variable_that_the_archive_cannot_have_is_no_complete_value():
    before = empty()
    before.outcomes[RAIN, :, 0] = NOT_OFFERED
    after = lay(before, extract(0, 0, 7.0, {}, wanted=("t",)))
    assert after.outcomes[T, 0, 0] == COMPLETE
    assert after.outcomes[RAIN, 0, 0] != COMPLETE
    assert after.status[0, 0] == COMPLETE


def test_the_status_of_a_file_is_the_gravest_of_its_variables():
    before = empty()
    before.outcomes[RAIN, :, 0] = NOT_OFFERED
    before.outcomes[:, 3, 2] = NOT_OFFERED
    after = lay(
        before,
        extract(0, 1, 1.0, {}),
        extract(1, 1, 1.0, {"t": "unreachable", "rain": "message-not-found"}),
        extract(2, 1, 1.0, {"rain": "message-not-found"}),
    )
    assert after.status[0, 0] == NOT_INGESTED
    assert after.status[:3, 1].tolist() == [COMPLETE, OUTCOMES["unreachable"].number, 3]
    assert after.status[3, 2] == NOT_OFFERED
    assert after.status.dtype == np.uint8


def test_a_lead_time_of_another_store_has_no_place_in_this_one():
    with pytest.raises(KeyError):
        lay(empty(), Extract(VALUES, FileOutcome(GribFile(AXIS.init_time(FIRST), 5), NAMES, {})))


@pytest.mark.parametrize("row", [-1, N_INIT])
def test_a_file_of_another_partition_is_never_laid_into_this_one(row):
    with pytest.raises(AssertionError, match="is of another partition"):
        lay(empty(), Extract(VALUES, FileOutcome(GribFile(AXIS.init_time(FIRST + row), 0), NAMES, {})))
