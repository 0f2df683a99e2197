"""Pieces in any order become the same shard; a gap never hides a value, and nothing falls beside its place."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.outcomes import hourly_outcome

from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.planning.layout import Axis
from hrrr_dask.records import Extract, GribFile
from hrrr_dask.store.merge import Piece, group_pieces, merge_pieces

AXIS = Axis(datetime(2024, 1, 1), (0, 12))
NAMES = ("t", "rain")
LEADS = (0, 180, 360)
N_INIT, N_POINTS, SIZE, FIRST = 4, 7, 3, 4
GAPS = tuple(name for name in OUTCOMES if name not in ("not-ingested", "complete", "not-in-this-era", "partial"))


def extract(
    row: int,
    lead: int,
    number: float,
    reasons: dict[str, str],
    wanted: tuple[str, ...] = NAMES,
    points: tuple[int, int] = (0, N_POINTS),
) -> Extract:
    """All values of a file are a number of its own, NaN where a reason is given."""
    file = GribFile(AXIS.init_time(FIRST + row), LEADS[lead] // 60)
    values = (
        np.full((len(wanted), points[1] - points[0]), number, np.float32) + np.arange(*points, dtype=np.float32) / 8
    )
    for v, name in enumerate(wanted):
        if name in reasons:
            values[v] = np.nan
    reasons = {name: reason for name, reason in reasons.items() if name in wanted}
    return Extract(values, hourly_outcome(file, wanted, reasons, first_point=points[0], n_points=points[1]))


def sorted_out(*extracts: Extract) -> dict[str, list[Piece]]:
    return group_pieces(extracts, AXIS, FIRST, LEADS, NAMES)


class Partition:
    """All shards of a partition, as a store would keep them."""

    def __init__(self) -> None:
        n_blocks = -(-N_POINTS // SIZE)
        self.shards = {
            name: [np.full((N_INIT, len(LEADS), SIZE), np.nan, np.float32) for _ in range(n_blocks)] for name in NAMES
        }

    def merge_pieces(self, *extracts: Extract) -> dict[str, list[bool]]:
        """For each variable and piece, whether it was all there before."""
        answers = {}
        for name, own in sorted_out(*extracts).items():
            found = [merge_pieces(shard, own, block * SIZE) for block, shard in enumerate(self.shards[name])]
            answers[name] = [all(each) for each in zip(*found, strict=True)]
        return answers

    def values(self, name: str) -> np.ndarray:
        return np.concatenate(self.shards[name], axis=2)

    def tobytes(self) -> bytes:
        return b"".join(self.values(name).tobytes() for name in NAMES)


def laid(*extracts: Extract) -> Partition:
    made = Partition()
    made.merge_pieces(*extracts)
    return made


REASONS = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(GAPS))
PLACES = st.tuples(st.integers(0, N_INIT - 1), st.integers(0, len(LEADS) - 1))
POINTS = st.sampled_from([(0, N_POINTS), (0, 2), (0, 5), (2, 5), (2, N_POINTS), (3, 6), (6, N_POINTS), (4, 4)])


@st.composite
def extracts(draw):
    places = draw(st.lists(PLACES, unique=True))
    return [
        extract(
            *place,
            draw(st.integers(1, 999)),
            draw(REASONS),
            draw(st.sampled_from([NAMES, ("t",), ("rain",)])),
            draw(POINTS),
        )
        for place in places
    ]


@settings(deadline=None)
@given(extracts(), extracts(), st.data())
def test_the_order_of_extracts_does_not_matter(first, second, data):
    one, other = laid(*first), laid(*first)
    one.merge_pieces(*second)
    other.merge_pieces(*data.draw(st.permutations(second)))
    assert one.tobytes() == other.tobytes()


@settings(deadline=None)
@given(extracts(), extracts())
def test_every_value_is_the_newest_that_was_read_and_all_else_is_missing(first, second):
    result = Partition()
    result.merge_pieces(*first)
    result.merge_pieces(*second)
    for v, name in enumerate(NAMES):
        expected = np.full((N_INIT, len(LEADS), N_POINTS), np.nan, np.float32)
        for each in (*first, *second):
            outcome = each.outcome
            if name in outcome.wanted and name not in outcome.reasons:
                row, lead = AXIS.index(outcome.file.init_time) - FIRST, LEADS.index(outcome.lead_minutes)
                for p in range(outcome.first_point, outcome.n_points):
                    expected[row, lead, p] = each.values[outcome.wanted.index(name), p - outcome.first_point]
        np.testing.assert_array_equal(result.values(name)[..., :N_POINTS], expected, err_msg=NAMES[v])
        assert np.isnan(result.values(name)[..., N_POINTS:]).all()


@settings(deadline=None)
@given(extracts(), extracts())
def test_a_piece_says_whether_all_its_values_lay_there_before(first, second):
    result = laid(*first)
    before = {name: result.values(name).copy() for name in NAMES}
    answers = result.merge_pieces(*second)
    for name in NAMES:
        own = [each.outcome for each in second if name in each.outcome.wanted]
        expected = [
            all(
                np.isfinite(before[name][AXIS.index(o.file.init_time) - FIRST, LEADS.index(o.lead_minutes), p])
                for p in range(o.first_point, o.n_points)
            )
            for o in own
        ]
        assert answers.get(name, []) == expected


@pytest.mark.parametrize("reason", GAPS)
def test_a_new_gap_never_hides_an_old_value(reason):
    result = laid(extract(1, 2, 280.0, {}))
    before = result.tobytes()
    assert result.merge_pieces(extract(1, 2, 0.0, dict.fromkeys(NAMES, reason))) == {"t": [True], "rain": [True]}
    assert result.tobytes() == before


def test_a_new_value_replaces_an_old_one_and_an_old_gap():
    result = laid(extract(0, 0, 1.0, {"rain": "truncated"}))
    assert result.merge_pieces(extract(0, 0, 2.0, {})) == {"t": [True], "rain": [False]}
    assert [result.values(name)[0, 0, 0] for name in NAMES] == [2.0, 2.0]


def test_a_file_lies_at_its_own_init_and_lead_time():
    result = laid(extract(3, 1, 7.0, {}))
    for name in NAMES:
        assert np.argwhere(np.isfinite(result.values(name)[..., 0])).tolist() == [[3, 1]]


def test_points_lie_in_the_shard_and_at_the_place_that_is_theirs():
    result = laid(extract(0, 0, 10.0, {}, points=(2, 5)))
    assert [np.isfinite(shard[0, 0]).tolist() for shard in result.shards["t"]] == [
        [False, False, True],
        [True, True, False],
        [False, False, False],
    ]
    assert result.values("t")[0, 0, 2:5].tolist() == [10.25, 10.375, 10.5]


def test_a_reader_that_knew_fewer_points_leaves_the_others_alone():
    result = laid(extract(0, 0, 1.0, {}))
    result.merge_pieces(extract(0, 0, 2.0, {}, points=(0, 4)))
    assert result.values("t")[0, 0, :N_POINTS].tolist() == [2.0, 2.125, 2.25, 2.375, 1.5, 1.625, 1.75]


def test_only_variables_that_were_to_be_read_have_pieces_in_the_order_of_their_extracts():
    pieces = sorted_out(
        extract(0, 1, 1.0, {}, wanted=("t",)),
        extract(1, 0, 2.0, {"t": "truncated"}, wanted=("t",), points=(3, 6)),
    )
    assert list(pieces) == ["t"]
    assert [(p.row, p.lead, p.first_point, p.complete, len(p.values)) for p in pieces["t"]] == [
        (0, 1, 0, True, N_POINTS),
        (1, 0, 3, False, 3),
    ]
    assert sorted_out() == {}


def test_variables_come_in_the_order_of_the_store():
    assert list(sorted_out(extract(0, 1, 1.0, {}, wanted=("rain", "t")))) == list(NAMES)


def test_a_lead_time_or_variable_of_another_store_has_no_place_in_this_one():
    values = np.zeros((1, N_POINTS), np.float32)
    with pytest.raises(KeyError):
        sorted_out(Extract(values, hourly_outcome(GribFile(AXIS.init_time(FIRST), 5), ("t",), {})))
    with pytest.raises(KeyError):
        sorted_out(Extract(values, hourly_outcome(GribFile(AXIS.init_time(FIRST), 0), ("snow",), {})))


@pytest.mark.parametrize("row", [-1, -N_INIT, N_INIT])
def test_a_file_of_another_partition_is_never_laid_into_this_one(row):
    with pytest.raises(AssertionError, match="is of another partition"):
        laid(extract(row, 0, 1.0, {}))
