"""Lead times: expansion of hours, parsing, formatting."""

from __future__ import annotations

from datetime import datetime

import pytest

from hrrr_dask.catalog.lead_times import (
    expand_lead_hours,
    file_hour,
    format_lead_times,
    lead_times_of,
    parse_lead_times,
)
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile

INIT = datetime(2024, 1, 1)


def test_a_file_has_four_lead_times_and_that_of_the_analysis_one():
    assert lead_times_of(GribFile(INIT, 0, "subh")) == (0,)
    assert lead_times_of(GribFile(INIT, 1, "subh")) == (15, 30, 45, 60)
    assert lead_times_of(GribFile(INIT, 18, "subh")) == (1035, 1050, 1065, 1080)
    assert lead_times_of(GribFile(INIT, 0)) == (0,)
    assert lead_times_of(GribFile(INIT, 48)) == (2880,)


@pytest.mark.parametrize("product", ["sfc", "subh"])
def test_every_lead_time_is_in_the_file_of_its_hour(product):
    for lead in expand_lead_hours(range(19), product):
        assert lead in lead_times_of(GribFile(INIT, file_hour(lead), product))


def test_hours_of_a_range_have_the_quarters_between_them():
    assert expand_lead_hours(range(4), "subh") == tuple(range(0, 181, 15))
    assert expand_lead_hours(range(4), "sfc") == (0, 60, 120, 180)


def test_hours_apart_stand_for_themselves():
    assert expand_lead_hours([6, 0, 12], "subh") == (0, 360, 720)
    assert expand_lead_hours([1, 2, 2], "subh") == (60, 75, 90, 105, 120)


@pytest.mark.parametrize("minutes", range(0, 1081, 15))
def test_a_file_has_the_lead_times_after_the_hour_before(minutes):
    hour = file_hour(minutes)
    assert 60 * (hour - 1) < minutes <= 60 * hour


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("15min,30min,1h", (15, 30, 60)),
        ("0h-1h", (0, 15, 30, 45, 60)),
        ("0-1h", (0, 15, 30, 45, 60)),
        (" 0h - 2h / 30min ", (0, 30, 60, 90, 120)),
        ("1h15min", (75,)),
        ("75min", (75,)),
        ("1h 15 min-1h45m", (75, 90, 105)),
        ("18h,0h", (0, 1080)),
        (["15min", "30min"], (15, 30)),
    ],
)
def test_durations_are_exact(text, wanted):
    assert parse_lead_times(text, "subh") == wanted


def test_a_range_of_an_hourly_product_has_its_hours():
    assert parse_lead_times("0h-3h", "sfc") == (0, 60, 120, 180)
    assert parse_lead_times("60min-180min", "prs") == (60, 120, 180)


@pytest.mark.parametrize(
    ("text", "product", "said"),
    [
        ("15min", "sfc", r"multiples of 1 h, the step of sfc; product subh has quarter hours"),
        ("10min", "subh", r"multiples of 15 min, the step of subh$"),
        ("0h-6h/10min", "subh", "multiples of 15 min"),
        ("0h-6h/0min", "subh", "multiples of 15 min"),
        ("6", "subh", "'6' is not a duration"),
        ("1.5h", "subh", "'1.5h' is not a duration"),
        ("", "subh", "'' is not a duration"),
        ("6h-0h", "sfc", "ascending range within 0h-48h"),
        ("49h", "sfc", "ascending range within 0h-48h"),
        ("-1h", "subh", "'-1h' is not a duration"),
    ],
)
def test_what_no_file_has_is_refused(text, product, said):
    with pytest.raises(ConfigError, match=said):
        parse_lead_times(text, product)


@pytest.mark.parametrize(
    ("leads", "wanted"),
    [
        ([], ""),
        ([15], "15 min"),
        ([0, 60], "0 h, 1 h"),
        ([*range(0, 1081, 60)], "0-18 h"),
        ([0, 180, 360], "0-6 h every 3 h"),
        ([*range(0, 361, 15)], "0-6 h every 15 min"),
        ([15, 30, 45], "15 min to 45 min every 15 min"),
        ([0, 60, 120, 360, 720, 1080], "0-2 h, 6-18 h every 6 h"),
    ],
)
def test_lead_times_are_said_as_ranges(leads, wanted):
    assert format_lead_times(leads) == wanted
