"""Rows of the ledger, in any order, states to what is known of each value, and what is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outcomes import hourly_outcome
from support.specs import attempt

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.ledger.rows import decode_entry, encode_entry
from hrrr_dask.ledger.state import (
    COLUMNS,
    ValueStates,
    available_at,
    count_attempts,
    count_gaps,
    find_missing_values,
    reduce_rows,
)
from hrrr_dask.outcomes import COMPLETE, NEVER, NOT_INGESTED, NOT_OFFERED, OUTCOMES, PARTIAL
from hrrr_dask.planning.layout import Axis
from hrrr_dask.planning.plan import offered
from hrrr_dask.records import FileOutcome, GribFile, Origin

AXIS = Axis(datetime(2024, 1, 1), (0, 6, 18))
NAMES = ("temperature_2m", "precipitation_1h")
SELECTION = Selection(parse_variables(NAMES), (0, 180, 720), AXIS.cycles)
LEADS = SELECTION.lead_minutes
HOURS = tuple(lead // 60 for lead in LEADS)
INITS = slice(0, 6)
SHAPE = (len(NAMES), 6, len(LEADS))
COHORTS = (5,)
GAPS = tuple(name for name in OUTCOMES if name not in ("not-ingested", "complete", "not-in-this-era", "partial"))
NUMBER = {name: outcome.number for name, outcome in OUTCOMES.items()}
TRUNCATED = NUMBER["truncated"]
T, RAIN = range(2)


def outcome(
    index: int,
    lead: int,
    reasons: dict[str, str] | None = None,
    wanted: tuple[str, ...] = NAMES,
    points: tuple[int, int] = (0, 5),
    published: datetime | None = None,
) -> FileOutcome:
    file = GribFile(AXIS.init_time(index), lead)
    reasons = {name: reason for name, reason in (reasons or {}).items() if name in wanted}
    return hourly_outcome(
        file, wanted, reasons, origin=Origin(published=published), first_point=points[0], n_points=points[1]
    )


def table(*outcomes: FileOutcome):
    return decode_entry(encode_entry(outcomes, attempt()))


def states(*outcomes: FileOutcome, cohorts: tuple[int, ...] = COHORTS, inits: slice = INITS) -> ValueStates:
    """Each outcome in an entry of its own."""
    return reduce_rows([table(each) for each in outcomes], SELECTION, AXIS, inits, cohorts)


def same(one: ValueStates, other: ValueStates) -> bool:
    return (one.codes.tolist(), one.covered.tolist(), one.cohorts) == (
        other.codes.tolist(),
        other.covered.tolist(),
        other.cohorts,
    )


EMPTY = states()
OFFERED = offered(SELECTION, [AXIS.init_time(k) for k in range(6)])

COHORT_SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=9, unique=True).map(sorted).map(tuple)


@st.composite
def histories(draw):
    """Cohorts, and outcomes that readers who knew one of them may have had: of all points or those added since."""
    cohorts = draw(COHORT_SIZES)
    known = st.sampled_from(cohorts)
    outcomes = []
    for _ in range(draw(st.integers(0, 12))):
        stop = draw(known)
        first = draw(st.sampled_from([0, *(size for size in cohorts if size < stop)]))
        reasons = draw(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(GAPS)))
        wanted = draw(st.sampled_from([NAMES, NAMES[:1], NAMES[1:]]))
        index, lead = draw(st.integers(0, 5)), draw(st.sampled_from(HOURS))
        outcomes.append(outcome(index, lead, reasons, wanted, (first, stop)))
    return cohorts, outcomes


def points_there(outcomes: list[FileOutcome], name: str, index: int, lead: int) -> set[int]:
    """Every point that some row calls complete, one by one."""
    return {
        point
        for each in outcomes
        if each.file == GribFile(AXIS.init_time(index), lead) and name in each.wanted and name not in each.reasons
        for point in range(each.first_point, each.n_points)
    }


@settings(max_examples=30, deadline=None)
@given(histories())
def test_which_points_are_there_is_what_counting_them_one_by_one_says(history):
    cohorts, outcomes = history
    found = states(*outcomes, cohorts=cohorts)
    for v, name in enumerate(NAMES):
        for index in range(6):
            for k, lead in enumerate(HOURS):
                there = points_there(outcomes, name, index, lead)
                place = v, index, k
                assert found.whole[place] == (there >= set(range(cohorts[-1])))
                reached = [size for size in (0, *cohorts) if there >= set(range(size))]
                assert found.first_point[place] == reached[-1]
                if found.whole[place]:
                    assert found.codes[place] == COMPLETE


@settings(max_examples=30, deadline=None)
@given(histories(), st.data())
def test_the_order_of_tables_does_not_matter_for_what_is_complete(history, data):
    cohorts, outcomes = history
    one = states(*outcomes, cohorts=cohorts)
    other = states(*data.draw(st.permutations(outcomes)), cohorts=cohorts)
    assert one.covered.tolist() == other.covered.tolist()
    assert one.first_point.tolist() == other.first_point.tolist()
    assert (one.codes == COMPLETE)[one.whole].all()
    assert (other.codes == COMPLETE)[one.whole].all()
    for codes in (NOT_INGESTED, NOT_OFFERED):
        assert ((one.codes == codes) == (other.codes == codes)).all()


@settings(max_examples=20, deadline=None)
@given(histories())
def test_one_table_of_all_rows_folds_as_the_tables_of_each_entry_do(history):
    cohorts, outcomes = history
    together = reduce_rows([table(*outcomes)], SELECTION, AXIS, INITS, cohorts)
    assert same(together, states(*outcomes, cohorts=cohorts))
    assert same(together, reduce_rows([table(*outcomes), table(*outcomes)], SELECTION, AXIS, INITS, cohorts))


@settings(max_examples=30, deadline=None)
@given(histories())
def test_a_value_once_complete_stays_so_and_else_the_latest_attempt_counts(history):
    _, outcomes = history
    outcomes = [outcome(AXIS.index(o.file.init_time), o.file.lead_hours, o.reasons, o.wanted) for o in outcomes]
    expected = np.where(OFFERED, NOT_INGESTED, NOT_OFFERED).astype(np.uint8)
    for each in outcomes:
        for name in each.wanted:
            place = NAMES.index(name), AXIS.index(each.file.init_time), HOURS.index(each.file.lead_hours)
            if expected[place] != COMPLETE:
                expected[place] = NUMBER[each.reasons.get(name, "complete")]
    found = states(*outcomes)
    assert found.codes.dtype == np.uint8
    assert found.codes.tolist() == expected.tolist()


def test_a_complete_value_outlives_a_later_gap_and_replaces_an_earlier_one():
    gap, there = outcome(1, 3, {NAMES[T]: "truncated"}), outcome(1, 3)
    for attempts in ((gap, there), (there, gap), (gap, there, gap)):
        assert states(*attempts).codes[T, 1, 1] == COMPLETE
    later = outcome(1, 3, {NAMES[T]: "not-published"})
    assert states(gap, later).codes[T, 1, 1] == NUMBER["not-published"]
    assert states(later, gap).codes[T, 1, 1] == TRUNCATED


def test_values_of_which_the_ledger_says_nothing_are_not_ingested_or_were_never_offered():
    assert EMPTY.codes.tolist() == np.where(OFFERED, NOT_INGESTED, NOT_OFFERED).tolist()
    assert (EMPTY.codes[RAIN, :, 0] == NOT_OFFERED).all()
    assert not EMPTY.whole.any()
    assert same(reduce_rows([table()], SELECTION, AXIS, INITS, COHORTS), EMPTY)


def test_a_part_of_the_axis_is_folded_as_the_whole_is():
    outcomes = [outcome(index, lead, {NAMES[T]: "truncated"}) for index in range(6) for lead in HOURS if index != 3]
    whole = states(*outcomes)
    for start, stop in ((0, 6), (2, 4), (3, 3), (5, 6)):
        part = states(*outcomes, inits=slice(start, stop))
        assert part.codes.tolist() == whole.codes[:, start:stop].tolist()


def test_the_columns_that_folding_needs_are_enough():
    rows = table(outcome(1, 3), outcome(2, 12, {NAMES[RAIN]: "truncated"}))
    few = rows.select(COLUMNS)
    assert same(*(reduce_rows([each], SELECTION, AXIS, INITS, COHORTS) for each in (rows, few)))


def test_tables_are_drawn_one_by_one():
    drawn = []

    def tables():
        for index in range(3):
            drawn.append(index)
            yield table(outcome(index, 3))

    assert reduce_rows(tables(), SELECTION, AXIS, INITS, COHORTS).whole[T, :3, 1].all()
    assert drawn == [0, 1, 2]


@pytest.mark.parametrize(
    "foreign",
    [
        hourly_outcome(GribFile(datetime(2024, 1, 1, 6), 7), NAMES, {}, n_points=5),
        hourly_outcome(GribFile(datetime(2024, 1, 1, 6), 40), NAMES, {}, n_points=5),
        hourly_outcome(GribFile(datetime(2024, 1, 2, 12), 0), NAMES, {}, n_points=5),
        hourly_outcome(GribFile(datetime(2024, 1, 2, 23), 0), NAMES, {}, n_points=5),
        hourly_outcome(GribFile(datetime(2023, 12, 31, 18), 0), NAMES, {}, n_points=5),
        hourly_outcome(GribFile(datetime(2024, 1, 3, 0), 0), NAMES, {}, n_points=5),
        hourly_outcome(GribFile(datetime(2024, 1, 1, 6), 0), ("wind",), {}, n_points=5),
        hourly_outcome(GribFile(datetime(2024, 1, 1, 6), 0), NAMES, dict.fromkeys(NAMES, "a reason of the future")),
    ],
    ids=["lead", "longer lead", "cycle", "later cycle", "before", "beyond", "variable", "outcome"],
)
def test_rows_that_this_store_has_no_place_for_are_ignored(foreign):
    assert same(states(foreign), EMPTY)
    here = outcome(5, 12, {NAMES[RAIN]: "truncated"})
    assert same(states(foreign, here), states(here))
    assert same(reduce_rows([table(foreign, here)], SELECTION, AXIS, INITS, COHORTS), states(here))
    assert (available_at([table(foreign)], SELECTION, AXIS, INITS) == NEVER).all()
    assert not count_attempts([table(foreign)], SELECTION, AXIS, INITS).any()


# --- points that were added ---


def test_a_value_is_whole_when_each_of_its_cohorts_was_read():
    first, rest, all_at_once = (outcome(1, 3, points=points) for points in ((0, 3), (3, 8), (0, 8)))
    cohorts = (3, 5, 8)
    for outcomes in ([first, rest], [rest, first], [all_at_once]):
        assert states(*outcomes, cohorts=cohorts).whole[:, 1, 1].all()
    only = states(first, cohorts=cohorts)
    assert only.codes[T, 1, 1] == COMPLETE
    assert not only.whole[T, 1, 1]
    assert only.first_point[T, 1, 1] == 3
    assert states(rest, cohorts=cohorts).first_point[T, 1, 1] == 0


def test_points_of_which_only_some_of_a_cohort_were_read_count_as_unread():
    found = states(outcome(1, 3, points=(0, 4)), cohorts=(3, 5))
    assert found.first_point[T, 1, 1] == 3


def test_the_gap_of_added_points_does_not_hide_that_the_older_ones_are_there():
    found = states(outcome(1, 3, points=(0, 3)), outcome(1, 3, {NAMES[T]: "truncated"}, points=(3, 5)), cohorts=(3, 5))
    assert found.codes[:, 1, 1].tolist() == [TRUNCATED, COMPLETE]
    assert found.first_point[:, 1, 1].tolist() == [3, 5]
    assert found.status()[1, 1] == TRUNCATED


@pytest.mark.parametrize("n_cohorts", [1, 8, 9, 16, 17, 33, 64])
def test_points_may_be_added_many_times(n_cohorts):
    cohorts = tuple(range(1, n_cohorts + 1))
    one_by_one = [outcome(0, 0, points=(k, k + 1)) for k in range(n_cohorts)]
    assert states(*one_by_one, cohorts=cohorts).whole[T, 0, 0]
    for left_out in {0, n_cohorts // 2, n_cohorts - 1}:
        found = states(*(each for each in one_by_one if each.first_point != left_out), cohorts=cohorts)
        assert not found.whole[T, 0, 0]
        assert found.first_point[T, 0, 0] == left_out
    assert states(outcome(0, 0, points=(0, n_cohorts)), cohorts=cohorts).whole[T, 0, 0]


# --- the status of a file ---


def test_the_status_of_a_file_is_the_gravest_of_its_variables():
    found = states(
        outcome(0, 3),
        outcome(1, 3, {NAMES[T]: "unreachable", NAMES[RAIN]: "message-not-found"}),
        outcome(2, 3, {NAMES[RAIN]: "message-not-found"}),
        outcome(3, 3, wanted=NAMES[:1]),
        outcome(4, 0, wanted=NAMES[:1]),
    ).status()
    assert found[:5, 1].tolist() == [COMPLETE, NUMBER["unreachable"], 3, PARTIAL, NOT_INGESTED]
    assert found[4:, 0].tolist() == [COMPLETE, NOT_INGESTED], "rain has no lead 0, so temperature is all there is"
    assert found.dtype == np.uint8


def test_the_status_of_a_file_that_nobody_can_have_says_so():
    rain = Selection(SELECTION.variables[1:], LEADS, AXIS.cycles)
    status = reduce_rows([], rain, AXIS, INITS, COHORTS).status()
    assert (status[:, 0] == NOT_OFFERED).all()
    assert (status[:, 1:] == NOT_INGESTED).all()


def test_the_status_of_a_file_whose_points_are_not_all_there_is_partial():
    found = states(outcome(1, 3, points=(0, 3)), cohorts=(3, 5))
    assert found.status()[1, 1] == PARTIAL


# --- since when, and how often ---


def seconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


def test_available_at_is_the_latest_date_of_the_objects_that_values_came_from():
    early, late = datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 2, 3, 4)
    tables = [
        table(
            outcome(0, 3, wanted=NAMES[:1], published=late),
            outcome(0, 3, wanted=NAMES[1:], published=early),
            outcome(1, 3, {NAMES[T]: "truncated"}, published=early),
            outcome(2, 3, dict.fromkeys(NAMES, "truncated"), published=early),
        ),
        table(outcome(1, 3, {NAMES[T]: "truncated"}, NAMES[:1], published=late)),
    ]
    for rows in (tables, tables[::-1]):
        found = available_at(rows, SELECTION, AXIS, INITS)
        assert found.dtype == np.int64
        assert found[:3, 1].tolist() == [seconds(late), seconds(early), NEVER]
        assert (found[3:] == NEVER).all()


def test_a_value_whose_source_did_not_say_since_when_makes_the_file_unknown():
    dated = outcome(0, 3, published=datetime(2024, 1, 1, 1), wanted=NAMES[1:])
    silent = outcome(0, 3, wanted=NAMES[:1])
    for rows in ([dated, silent], [silent, dated]):
        assert available_at([table(*rows)], SELECTION, AXIS, INITS)[0, 1] == NEVER
        assert available_at([table(row) for row in rows], SELECTION, AXIS, INITS)[0, 1] == NEVER
    known = outcome(0, 3, published=datetime(2024, 1, 1, 2), wanted=NAMES[:1])
    assert available_at([table(dated, silent, known)], SELECTION, AXIS, INITS)[0, 1] == seconds(datetime(2024, 1, 1, 2))
    gap = outcome(0, 3, dict.fromkeys(NAMES, "not-published"))
    assert available_at([table(dated, gap)], SELECTION, AXIS, INITS)[0, 1] == seconds(datetime(2024, 1, 1, 1))


def test_every_try_of_a_value_counts():
    tables = [table(outcome(0, 3), outcome(0, 3, {NAMES[T]: "truncated"})), table(outcome(0, 3, wanted=NAMES[:1]))]
    found = count_attempts(tables, SELECTION, AXIS, INITS)
    assert found[:, 0, 1].tolist() == [3, 2]
    assert found.sum() == 5
    assert count_attempts(tables, SELECTION, AXIS, slice(1, 6)).sum() == 0


# --- what is to be read ---

NOW = datetime(2024, 2, 1, 12)
TODAY = Axis(datetime(2024, 1, 1), (0, 12))
YOUNG = np.array([NOW - TODAY.init_time(index) <= timedelta(days=7) for index in range(64)])


def standing(codes: np.ndarray) -> ValueStates:
    """Values with those codes, of one cohort."""
    return ValueStates(codes, (codes == COMPLETE).astype(np.uint8), COHORTS)


def all_values_of(name: str, days: int = 32) -> ValueStates:
    return standing(np.full((1, 2 * days, 1), NUMBER[name], dtype=np.uint8))


@pytest.mark.parametrize("name", [name for name in OUTCOMES if name != "partial"])
def test_what_heals_decides_what_is_tried_again(name):
    todo = find_missing_values(all_values_of(name), TODAY, slice(0, 64), NOW)
    expected = {"always": np.ones(64, bool), "never": np.zeros(64, bool), "young": YOUNG}[OUTCOMES[name].heals]
    assert todo.start == 0
    assert todo.first_point is None
    assert todo.wanted[0, :, 0].tolist() == expected.tolist()


def test_a_gap_is_tried_again_for_exactly_seven_days():
    wanted = find_missing_values(all_values_of("not-published"), TODAY, slice(0, 64), NOW).wanted[0, :, 0]
    assert not wanted[TODAY.index(datetime(2024, 1, 25, 0))]
    assert wanted[TODAY.index(datetime(2024, 1, 25, 12))]


def test_all_gaps_are_tried_again_when_told_to_but_not_what_is_there_or_never_was():
    for name, expected in (("truncated", True), ("complete", False), ("not-in-this-era", False)):
        assert (
            find_missing_values(all_values_of(name), TODAY, slice(0, 64), NOW, retry_gaps=True).wanted.tolist()
            == np.full((1, 64, 1), expected).tolist()
        )


def test_each_variable_of_a_file_is_wanted_for_itself():
    codes = np.full((2, 2, 2), COMPLETE, dtype=np.uint8)
    codes[1, 0, 0] = NOT_OFFERED
    codes[1, 0, 1] = NOT_INGESTED
    codes[0, 1, 0] = NUMBER["unreachable"]
    codes[0, 1, 1] = NUMBER["message-not-found"]
    todo = find_missing_values(standing(codes), AXIS, slice(0, 2), datetime(2025, 1, 1))
    assert np.argwhere(todo.wanted).tolist() == [[0, 1, 0], [1, 0, 1]]


def test_the_age_of_a_gap_counts_from_where_the_part_begins():
    part = slice(TODAY.index(datetime(2024, 1, 25)), 64)
    gaps = standing(np.full((1, part.stop - part.start, 1), NUMBER["not-published"], np.uint8))
    todo = find_missing_values(gaps, TODAY, part, NOW)
    assert todo.start == part.start
    assert todo.wanted[0, :2, 0].tolist() == [False, True]


def test_added_points_are_wanted_of_what_is_there_and_from_the_first_that_is_not():
    found = states(
        outcome(0, 3, points=(0, 3)),
        outcome(1, 3, points=(0, 5)),
        outcome(2, 3, {NAMES[T]: "truncated"}, points=(0, 3)),
        cohorts=(3, 5),
    )
    todo = find_missing_values(found, AXIS, INITS, datetime(2025, 1, 1))
    assert todo.wanted[:, :4, 1].tolist() == [[True, False, False, True], [True, False, True, True]]
    assert todo.first_point is not None
    assert todo.first_point[:, :4, 1].tolist() == [[3, 5, 0, 0], [3, 5, 3, 0]]


@settings(max_examples=30, deadline=None)
@given(histories(), st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 20)), st.booleans())
def test_exactly_what_was_never_read_what_may_heal_and_what_was_added_is_wanted(history, now, retry_gaps):
    cohorts, outcomes = history
    found = states(*outcomes, cohorts=cohorts)
    todo = find_missing_values(found, AXIS, INITS, now, retry_gaps=retry_gaps)
    for v, name in enumerate(NAMES):
        for index in range(6):
            for k, lead in enumerate(HOURS):
                place = v, index, k
                file = GribFile(AXIS.init_time(index), lead)
                tries = [each for each in outcomes if each.file == file and name in each.wanted]
                there = points_there(outcomes, name, index, lead)
                if not tries:
                    expected = bool(OFFERED[place])
                elif there >= set(range(cohorts[-1])):
                    expected = False
                elif name not in tries[-1].reasons:
                    expected = True
                else:
                    young = now - file.init_time <= timedelta(days=7)
                    heals = OUTCOMES[tries[-1].reasons[name]].heals
                    expected = heals == "always" or young or retry_gaps
                assert todo.wanted[place] == expected, (name, index, lead)


def test_gaps_are_counted_by_reason_the_most_common_first():
    codes = np.array([[0, 1, 2, 7], [7, 8, 8, 8]], dtype=np.uint8)[None]
    assert list(count_gaps(codes).items()) == [("not-published", 3), ("truncated", 2)]
    assert count_gaps(np.zeros((0, 0, 0), np.uint8)) == {}
