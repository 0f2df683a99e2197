"""Settings: where they come from, what they may be, and which times and hours they name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import dask.config
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.catalog.variables import CATALOG, DEFAULT_VARIABLES
from hrrr_dask.config.period import Period, parse_period, split_months
from hrrr_dask.config.settings import DEFAULTS, Selection, parse_hours, parse_selection, resolve_settings
from hrrr_dask.errors import ConfigError, PlanError

SYNOPTIC = (0, 6, 12, 18)
HOURLY = tuple(range(24))


@pytest.fixture(autouse=True)
def no_settings_of_this_machine():
    with dask.config.set({"hrrr": {}}):
        yield


def from_environment(**variables: str):
    collected = dask.config.collect_env({f"DASK_HRRR__{key}": value for key, value in variables.items()})
    return dask.config.set({"hrrr": collected["hrrr"]})


def from_yaml(text: str):
    return dask.config.set({"hrrr": yaml.safe_load(text)})


@given(st.sets(st.integers(0, 48), min_size=1))
def test_hours_come_out_ascending_and_once_however_they_are_written(hours):
    ascending = tuple(sorted(hours))
    assert parse_hours(",".join(map(str, hours)), "lead hours", 48) == ascending
    assert parse_hours([*hours, *hours], "lead hours", 48) == ascending


@given(st.integers(0, 48), st.integers(0, 48))
def test_a_range_includes_both_ends(first, last):
    if first <= last:
        assert parse_hours(f"{first}-{last}", "lead hours", 48) == tuple(range(first, last + 1))
    else:
        with pytest.raises(ConfigError, match="is not an hour or a range within 0-48"):
            parse_hours(f"{first}-{last}", "lead hours", 48)


@given(st.integers(0, 48), st.integers(0, 48), st.integers(1, 48))
def test_a_step_takes_every_nth_hour_of_a_range(first, length, step):
    last = min(first + length, 48)
    assert parse_hours(f"{first}-{last}/{step}", "lead hours", 48) == tuple(range(first, last + 1, step))


def test_a_step_counts_for_its_own_range_only():
    assert parse_hours("0-12/6, 13 - 15 / 2, 18", "lead hours", 48) == (0, 6, 12, 13, 15, 18)


@pytest.mark.parametrize("text", ["0-18/0", "6/3", "0-18/", "0-18/-3", "0-18/3/3", "/3", "0-24/3"])
def test_a_step_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"is not an hour or a range within 0-23, like 0-18 or 0-18/3"):
        parse_hours(text, "cycles", 23)


@pytest.mark.parametrize(
    ("text", "hours"), [(6, (6,)), (" 0 , 3 - 4 ", (0, 3, 4)), ("00,06", (0, 6)), (np.arange(2), (0, 1)), ("0-0", (0,))]
)
def test_hours_may_be_numbers_or_spelled_with_blanks_and_zeros(text, hours):
    assert parse_hours(text, "cycles", 23) == hours


@pytest.mark.parametrize("text", ["", "24", "0-24", "-1", "1-", "a", "1,,2", "1;2", "1.5", "999999", "²", [], [1.5]])
def test_other_hours_are_refused_with_the_allowed_range(text):
    with pytest.raises(ConfigError, match=r"cycles .* is not an hour or a range within 0-23, like 0-18"):
        parse_hours(text, "cycles", 23)


@pytest.mark.parametrize(
    ("start", "end", "cycles", "first", "last"),
    [
        ("2024-01-01", "2024-01-31", HOURLY, datetime(2024, 1, 1), datetime(2024, 1, 31, 23)),
        ("2024-01-01", "2024-01-01", SYNOPTIC, datetime(2024, 1, 1), datetime(2024, 1, 1, 18)),
        ("2024-01-01T01", "2024-01-01T17", SYNOPTIC, datetime(2024, 1, 1, 6), datetime(2024, 1, 1, 12)),
        ("2024-01-01T12", "2024-01-01", HOURLY, datetime(2024, 1, 1, 12), datetime(2024, 1, 1, 23)),
        ("2024-01-01 06:00", "2024-01-01T06:00:00Z", HOURLY, datetime(2024, 1, 1, 6), datetime(2024, 1, 1, 6)),
        ("2024-02-28T23", "2024-03-01T01", (0,), datetime(2024, 2, 29), datetime(2024, 3, 1)),
        ("2014-07-30", "2014-07-30", (0,), datetime(2014, 7, 30), datetime(2014, 7, 30)),
        (datetime(2024, 1, 1, 6), datetime(2024, 1, 1, 6), HOURLY, datetime(2024, 1, 1, 6), datetime(2024, 1, 1, 6)),
        (datetime(2024, 1, 1), datetime(2024, 1, 2), SYNOPTIC, datetime(2024, 1, 1), datetime(2024, 1, 2)),
    ],
)
def test_start_and_end_are_init_times_both_included(start, end, cycles, first, last):
    assert parse_period(start, end, cycles) == Period(first, last)


def test_a_moment_with_a_time_zone_is_taken_to_utc():
    east = timezone(timedelta(hours=5))
    period = parse_period(datetime(2024, 1, 1, 6, tzinfo=east), datetime(2024, 1, 1, 6, tzinfo=UTC), HOURLY)
    assert period == Period(datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 6))


@pytest.mark.parametrize(
    ("start", "end", "cycles", "text"),
    [
        ("2024-01-02", "2024-01-01", HOURLY, "is before the start 2024-01-02: swap them"),
        ("2024-01-01T12", "2024-01-01T11", HOURLY, "is before the start"),
        ("2014-07-29", "2014-08-01", HOURLY, "the archive starts on 2014-07-30, not on 2014-07-29"),
        ("2014-07-29T23", "2014-08-01", HOURLY, "the archive starts on 2014-07-30"),
        ("2024-01-01T01", "2024-01-01T05", SYNOPTIC, r"no run starts between .* at the cycles \[0, 6, 12, 18\]"),
        ("2024-02-30", "2024-03-01", HOURLY, "start '2024-02-30' is not a date"),
        ("2024-01-01T24", "2024-03-01", HOURLY, "is not a date"),
        ("2024-01-01T06:30", "2024-03-01", HOURLY, "is not understood: write a date 2024-01-31 or a full hour"),
        ("1 Jan 2024", "2024-03-01", HOURLY, "start '1 Jan 2024' is not understood"),
        ("2024-01-01", "now", HOURLY, "end 'now' is not understood"),
        (datetime(2024, 1, 1, 6, 30), "2024-03-01", HOURLY, "is not a full hour"),
    ],
)
def test_a_period_that_cannot_be_met_says_why(start, end, cycles, text):
    with pytest.raises(PlanError, match=text):
        parse_period(start, end, cycles)


@given(st.integers(0, 24 * 20), st.integers(0, 24 * 20), st.sets(st.integers(0, 23), min_size=1).map(sorted).map(tuple))
def test_a_period_begins_and_ends_on_the_first_and_last_run_in_it(start, length, cycles):
    first = datetime(2024, 1, 1) + timedelta(hours=start)
    hours = [first + timedelta(hours=hour) for hour in range(length + 1)]
    wanted = [hour for hour in hours if hour.hour in cycles]
    if wanted:
        assert parse_period(hours[0], hours[-1], cycles) == Period(wanted[0], wanted[-1])
    else:
        with pytest.raises(PlanError, match="no run starts between"):
            parse_period(hours[0], hours[-1], cycles)


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2024-03-05T06", "2024-03-05T06", [("2024-03-05T06", "2024-03-05T06")]),
        ("2023-12-31", "2024-01-01", [("2023-12-31T00", "2023-12-31T23"), ("2024-01-01T00", "2024-01-01T23")]),
        (
            "2024-01-31T22",
            "2024-03-01T00",
            [
                ("2024-01-31T22", "2024-01-31T23"),
                ("2024-02-01T00", "2024-02-29T23"),
                ("2024-03-01T00", "2024-03-01T00"),
            ],
        ),
    ],
)
def test_a_period_is_split_at_the_first_of_each_month(start, end, months):
    split = split_months(parse_period(start, end, HOURLY))
    assert [(f"{month.start:%Y-%m-%dT%H}", f"{month.end:%Y-%m-%dT%H}") for month in split] == months


@given(
    st.integers(0, 24 * 400), st.integers(0, 24 * 500), st.sets(st.integers(0, 23), min_size=1).map(sorted).map(tuple)
)
def test_months_have_every_run_of_the_period_once_and_each_has_one(start, length, cycles):
    first = datetime(2023, 1, 1) + timedelta(hours=start)
    hours = [first + timedelta(hours=hour) for hour in range(length + 1)]
    runs = [hour for hour in hours if hour.hour in cycles]
    if not runs:
        return
    months = split_months(parse_period(hours[0], hours[-1], cycles))
    assert all(month.start.strftime("%Y-%m") == month.end.strftime("%Y-%m") for month in months)
    again = [parse_period(month.start, month.end, cycles) for month in months]  # an error if there is no run
    assert [run for month in again for run in runs if month.start <= run <= month.end] == runs
    assert len({month.start.strftime("%Y-%m") for month in months}) == len(months)


def test_without_a_word_the_eleven_variables_and_nineteen_leads_of_every_run_are_wanted():
    selection = parse_selection(resolve_settings())
    assert [variable.name for variable in selection.variables] == list(DEFAULT_VARIABLES)
    assert (selection.lead_minutes, selection.cycles) == (tuple(range(0, 1140, 60)), HOURLY)
    assert (selection.product, selection.domain, selection.method) == ("sfc", "conus", "nearest")


def test_flags_win_over_the_configuration_which_wins_over_defaults():
    with from_yaml("{cycles: '0,12', method: bilinear, fetch: {attempts: 2}}"):
        settings = resolve_settings(cycles="6", engine=None)
    assert settings["cycles"] == "6"
    assert settings["method"] == "bilinear"
    assert settings["fetch"] == DEFAULTS["fetch"] | {"attempts": 2}
    assert settings["engine"] == "auto"


def test_defaults_are_not_changed_by_what_is_merged_over_them():
    with from_yaml("{fetch: {attempts: 2}, source-options: {region: x}, variables: [temperature_2m]}"):
        resolve_settings()
    assert resolve_settings() == DEFAULTS


def test_environment_variables_are_settings():
    with from_environment(
        CYCLES="0,6,12,18",
        LEAD_HOURS="0-2",
        VARIABLES="temperature_2m,precipitation_1h",
        SOURCE='["/data/hrrr, 2024", "aws"]',
        WORKERS="3",
        FETCH__TIMEOUT_S="5",
        FETCH__MERGE_GAP_KB="0",
    ):
        settings = resolve_settings()
    assert parse_selection(settings).cycles == SYNOPTIC
    assert parse_selection(settings).lead_minutes == (0, 60, 120)
    assert settings["variables"] == ["temperature_2m", "precipitation_1h"]
    assert settings["source"] == ["/data/hrrr, 2024", "aws"]  # a path may have commas
    assert settings["workers"] == 3
    assert settings["fetch"]["timeout-s"] == 5.0
    assert isinstance(settings["fetch"]["timeout-s"], float)
    assert settings["fetch"]["merge-gap-kb"] == 0


def test_prefix_reads_are_on_and_switched_off_by_yaml_or_the_environment():
    assert resolve_settings()["fetch"]["prefix-reads"] is True
    with from_yaml("fetch: {prefix-reads: false}"):
        assert resolve_settings()["fetch"] == DEFAULTS["fetch"] | {"prefix-reads": False}
    for spelled, meant in (("false", False), ("False", False), ("true", True)):
        with from_environment(FETCH__PREFIX_READS=spelled):
            assert resolve_settings()["fetch"]["prefix-reads"] is meant


@pytest.mark.parametrize(
    ("text", "cycles"), [("[0, 6, 12, 18]", SYNOPTIC), ("[6]", (6,)), ("6", (6,)), ("'0-23'", HOURLY), ("0,6", (0, 6))]
)
def test_hours_in_yaml_may_be_lists_numbers_or_text(text, cycles):
    with from_yaml(f"cycles: {text}"):
        assert parse_selection(resolve_settings()).cycles == cycles


@pytest.mark.parametrize("cycles", [(6,), [6], {6}, range(6, 7), np.array([6]), 6, "6"])
def test_hours_in_python_may_be_any_sequence(cycles):
    assert parse_selection(resolve_settings(cycles=cycles)).cycles == (6,)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"cycle": "0"}, r"setting hrrr\.cycle is unknown: did you mean hrrr\.cycles\?"),
        ({"fetch": {"atempts": 1}}, r"setting hrrr\.fetch\.atempts is unknown: did you mean hrrr\.fetch\.attempts\?"),
        ({"zzzz": 1}, r"setting hrrr\.zzzz is unknown: known are variables, product"),
        ({"fetch": 3}, r"setting hrrr\.fetch is a section with keys attempts, timeout-s.*not 3"),
        ({"workers": "many"}, r"setting hrrr\.workers is a number, not 'many'"),
        ({"workers": True}, r"setting hrrr\.workers is a number, not True"),
        ({"workers": 1.5}, r"setting hrrr\.workers is a whole number from 0 on, not 1\.5"),
        ({"workers": -1}, r"setting hrrr\.workers is a whole number from 0 on, not -1"),
        ({"workers": float("inf")}, r"setting hrrr\.workers is a whole number from 0 on, not inf"),
        ({"fetch": {"timeout-s": float("nan")}}, r"setting hrrr\.fetch\.timeout-s is a number from 0 on, not nan"),
        ({"fetch": {"backoff-s": -0.1}}, r"setting hrrr\.fetch\.backoff-s is a number from 0 on, not -0\.1"),
        ({"fetch": {"prefix-reads": "off"}}, r"setting hrrr\.fetch\.prefix-reads is true or false, not 'off'"),
        ({"fetch": {"prefix-reads": 0}}, r"setting hrrr\.fetch\.prefix-reads is true or false, not 0"),
        ({"variables": 1.5}, r"setting hrrr\.variables is text or a list of it, not 1\.5"),
        ({"source": {"a": 1}}, r"setting hrrr\.source is text or a list of it, not \{'a': 1\}"),
        ({"method": True}, r"setting hrrr\.method is text or a list of it, not True"),
        ({"product": {"sfc": 1}}, r"setting hrrr\.product is text or a list of it"),
        ({"source-options": "anonymous=true"}, r"setting hrrr\.source-options is a section .* not 'anonymous=true'"),
        (5, r"setting hrrr is a section with keys variables, .* not 5"),
    ],
)
def test_an_unknown_setting_or_a_value_of_another_type_is_refused(settings, text):
    with dask.config.set({"hrrr": settings}), pytest.raises(ConfigError, match=text):
        resolve_settings()


def test_an_unknown_flag_is_named_as_it_was_given():
    with pytest.raises(ConfigError, match=r"setting lead-hour is unknown: did you mean lead-hours\?"):
        resolve_settings(lead_hour="0")


def test_a_whole_number_may_be_spelled_as_a_float_and_options_as_anything():
    settings = resolve_settings(workers=2.0, store_options={"allow_http": True, "region": 1})
    assert settings["workers"] == 2
    assert isinstance(settings["workers"], int)
    assert settings["store-options"] == {"allow_http": "True", "region": "1"}


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"product": "sfcs"}, "product 'sfcs' is unknown: did you mean sfc"),
        ({"product": "qqq"}, "product 'qqq' is unknown: take one of sfc, prs, nat, subh"),
        ({"domain": "hawaii"}, "domain 'hawaii' is unknown"),
        ({"method": "cubic"}, "method 'cubic' is unknown: take one of nearest, bilinear"),
        ({"lead_hours": "0-49"}, "lead hours '0-49': '0-49' is not an hour or a range within 0-48"),
        ({"cycles": "24"}, "cycles '24'"),
        ({"variables": ""}, "no variables are named"),
        ({"variables": ["temperature_3m"]}, "did you mean temperature_2m"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(flags, text):
    with pytest.raises(ConfigError, match=text):
        parse_selection(resolve_settings(**flags))


@pytest.mark.parametrize("empty", ["variables", "lead_minutes", "cycles"])
def test_a_selection_is_never_empty(empty):
    parts = {"variables": (CATALOG["temperature_2m"],), "lead_minutes": (0,), "cycles": (0,)}
    with pytest.raises(ConfigError, match="at least one variable, one lead time and one cycle"):
        Selection(**(parts | {empty: ()}))
