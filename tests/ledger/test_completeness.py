"""The table of a store's completeness, against counting by hand."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hrrr_dask.ledger.completeness import summarise
from hrrr_dask.outcomes import OUTCOMES

NUMBER = {name: outcome.number for name, outcome in OUTCOMES.items()}
NO_REASON = {"not-ingested", "complete", "not-in-this-era", "partial"}


def hours(start: str, n: int, step: int = 1) -> np.ndarray:
    return np.datetime64(start, "h") + np.arange(0, n * step, step)


@st.composite
def stores(draw):
    """Outcomes of any kind, and init times some steps apart, from a few hours to several months."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 12)), draw(st.integers(1, 3)))
    values = st.sampled_from([0, 1, 1, 1, *sorted(NUMBER.values())])
    codes = draw(arrays(np.uint8, shape, elements=values))
    step = draw(st.sampled_from([1, 5, 24, 24 * 9]))
    gaps = draw(st.lists(st.integers(1, 3), min_size=shape[1], max_size=shape[1]))
    return codes, np.datetime64("2023-11-29T06", "h") + np.cumsum(gaps) * step


@given(stores())
def test_rows_count_what_a_loop_over_all_files_counts(store):
    codes, init_times = store
    moments: list[datetime] = [moment.item() for moment in init_times]
    by_day = (moments[-1].date() - moments[0].date()).days < 62
    files: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for i, moment in enumerate(moments):
        label = f"{moment:%Y-%m-%d}" if by_day else f"{moment:%Y-%m}"
        for lead in range(codes.shape[2]):
            wanted = [number for number in codes[:, i, lead].tolist() if number != NUMBER["not-in-this-era"]]
            if not wanted:
                continue
            names = [name for number in wanted for name in NUMBER if NUMBER[name] == number]
            missing = [name for name in names if name not in NO_REASON]
            done = all(name == "complete" for name in names)
            files.setdefault(label, Counter())["complete" if done else "gaps" if missing else "to do"] += 1
            reasons.setdefault(label, Counter()).update(missing)
    rows = summarise(codes, init_times)
    assert [row.label for row in rows] == sorted(files)
    for row in rows:
        counted = files[row.label]
        assert row.files_wanted == counted.total()
        assert row.files_complete == counted["complete"]
        assert row.files_with_gaps == counted["gaps"]
        assert row.files_to_do == counted["to do"]
        ranked = sorted(reasons[row.label].items(), key=lambda item: (-item[1], item[0]))
        assert row.reasons == tuple(ranked[:3])


def test_a_store_without_runs_has_no_rows():
    assert summarise(np.zeros((2, 0, 3), np.uint8), hours("2024-01-01", 0)) == []


@pytest.mark.parametrize(("days", "label"), [(62, "2024-01-01"), (63, "2024-01")])
def test_two_months_are_shown_by_day_and_more_by_month(days, label):
    codes = np.ones((1, days, 1), np.uint8)
    assert summarise(codes, hours("2024-01-01", days, 24))[0].label == label
