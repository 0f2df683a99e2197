"""Parsing and formatting of selectors, and their windows at a lead time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.catalog.selectors import ANY_WINDOW, INSTANT, Selector, WindowSpec
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import Window

STATISTICS = ("acc", "ave", "max", "min")
SPECS = st.one_of(
    st.just(INSTANT),
    st.builds(WindowSpec, st.sampled_from(STATISTICS), st.one_of(st.none(), st.integers(1, 3000))),
)
WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)


@given(WORDS, WORDS, st.one_of(st.just(ANY_WINDOW), SPECS))
def test_a_formatted_selector_is_parsed_back(element, level, window):
    selector = Selector(element, level, window)
    assert Selector.parse(str(selector)) == selector


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("TMP:2 m above ground", ANY_WINDOW),
        ("TMP:2 m above ground:instant", INSTANT),
        ("APCP:surface:1 hour acc", WindowSpec("acc", 60)),
        ("DSWRF:surface:15 min ave", WindowSpec("ave", 15)),
        ("APCP:surface:90 min acc", WindowSpec("acc", 90)),
        ("APCP:surface:60 min acc", WindowSpec("acc", 60)),
        ("APCP:surface:run acc", WindowSpec("acc", None)),
        (" WIND : 10 m above ground : 1 hour max ", WindowSpec("max", 60)),
    ],
)
def test_windows_are_relative_to_the_lead_time(text, window):
    assert Selector.parse(text).window == window


@pytest.mark.parametrize("text", ["TMP", "TMP:", ":surface", "TMP::instant", "TMP:surface:instant:more", "", " : "])
def test_a_selector_requires_an_element_and_a_level(text):
    with pytest.raises(ConfigError, match=r"is not ELEMENT:LEVEL or ELEMENT:LEVEL:WINDOW"):
        Selector.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "anl",
        "5 hour fcst",
        "0-1 day acc fcst",
        "0 hour acc",
        "1 day acc",
        "hour acc",
        "1 hour sum",
        "-1 hour acc",
        "run",
    ],
)
def test_an_invalid_window_is_refused_with_the_valid_forms(text):
    with pytest.raises(ConfigError, match=r"relative to the lead time, write 'instant', 'N hour KIND'"):
        WindowSpec.parse(text)


@pytest.mark.parametrize(
    ("spec", "lead", "window"),
    [
        (INSTANT, 0, Window("instant", 0, 0)),
        (INSTANT, 300, Window("instant", 300, 300)),
        (WindowSpec("acc", 60), 0, None),
        (WindowSpec("acc", 60), 60, Window("acc", 0, 60)),
        (WindowSpec("acc", 60), 300, Window("acc", 240, 300)),
        (WindowSpec("acc", 180), 120, None),
        (WindowSpec("ave", 15), 60, Window("ave", 45, 60)),
        (WindowSpec("ave", 15), 75, Window("ave", 60, 75)),
        (WindowSpec("ave", 15), 0, None),
        (INSTANT, 495, Window("instant", 495, 495)),
        (WindowSpec("max", None), 1440, Window("max", 0, 1440)),
        (WindowSpec("acc", None), 0, Window("acc", 0, 0)),
        (ANY_WINDOW, 300, None),
    ],
)
def test_the_absolute_window_at_a_lead_time(spec, lead, window):
    assert spec.at(lead) == window


@given(SPECS, st.integers(0, 48))
def test_a_window_exists_unless_it_starts_before_the_run(spec, lead):
    found = spec.at(lead)
    assert spec.exists_at(lead) == (found is not None)
    if found is not None:
        assert 0 <= found.start <= found.stop == lead


def test_the_unspecified_window_exists_at_every_lead_time():
    assert all(ANY_WINDOW.exists_at(lead) for lead in range(49))
