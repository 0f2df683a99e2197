"""What the command line prints: every figure is there, in words, and ranges are short."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from io import StringIO

import pytest
from rich.console import Console

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.cli.tables import plan_table, print_tables
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import Selection
from hrrr_dask.display.tables import Column, Table
from hrrr_dask.job.costs import estimate
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.planning.plan import Plan, make_plan
from hrrr_dask.report.results import Report, Status

REPORT = Report(
    store="s3://bucket/x.zarr",
    files_wanted=1200,
    files_done_before=200,
    files_read=1000,
    gaps={},
    gaps_by_variable={},
    partitions_written=2,
    bytes_read=2_500_000_000,
    requests=6000,
    bytes_written=1_234_567,
    seconds=10.0,
    interrupted=False,
)


def shown(*tables: Table) -> str:
    console = Console(file=StringIO(), width=200)
    print_tables(console, tables)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def plan_table_of(plan: Plan) -> Table:
    return plan_table(plan, estimate(plan))


def plan_of(leads, start, end, *, names=("temperature_2m",), now=datetime(2030, 1, 1)) -> Plan:
    selection = Selection(parse_variables(names), leads)
    axis = Axis(datetime(2014, 7, 30), selection.cycles)
    return make_plan(selection, Period(start, end), n_points=1500, layout=Layout(7, 1000, 50), now=now, axis=axis)


def test_a_plan_is_shown_with_its_figures():
    text = shown(plan_table_of(plan_of((0, 60, 120, 360), datetime(2024, 1, 1), datetime(2024, 1, 10, 23))))
    for line in (
        "runs 240 from 2024-01-01T00 to 2024-01-10T23",
        "lead times 0-2 h, 6 h",
        "variables temperature_2m",
        "points 1,500, nearest",
        "files 960 of wrfsfc, conus",
        "to read about 1.44 GB of 144 GB, in about 1,920 requests",
        "partitions 3 of 7 days, 5.38 MB raw each",
        "shards 7 days x all leads x 1000 points, 2.69 MB raw, in chunks of 50 points",
        "store about 318 objects and ",
        "one point's year of a variable is 106 requests, ",
        "chosen 7 days: as given, or fixed when the store was made; one step writes a partition",
        "update one run is 24 kB of values; its update writes 811 kB on average (33.8 times the values) "
        "and 1.61 MB at most (67.2 times the values)",
    ):
        assert line in text
    assert "memory about " in text
    assert "not reached" not in text
    assert "never there" not in text
    assert "in the future" not in text


def test_a_plan_says_in_how_many_steps_a_partition_is_written():
    plan = plan_of((0, 60, 120, 360), datetime(2024, 1, 1), datetime(2024, 1, 10, 23))
    assert "; 7 steps of at most 100 files, as many as the memory limit allows, write a partition" in shown(
        plan_table_of(replace(plan, step_files=100))
    )
    long = plan_table_of(replace(plan, layout=Layout(30, 1000, 50)))
    assert "; 2 steps of at most 2,000 files, the most there are, write a partition" in shown(long)


def test_a_plan_says_what_is_left_out_and_why():
    now = datetime(2016, 8, 23, 13)
    plan = plan_of(
        (840, 900, 960, 1020, 1080),
        datetime(2016, 8, 23, 10),
        datetime(2016, 8, 23, 23),
        now=now,
    )
    text = shown(plan_table_of(plan))
    assert "not reached lead times 16-18 h: 2 runs do not reach them" in text
    assert "in the future 10 runs have not started yet and are left out" in text


def test_a_plan_names_variables_that_are_never_there():
    plan = plan_of(
        (0,), datetime(2016, 8, 1), datetime(2016, 8, 1, 5), names=("temperature_2m", "relative_humidity_2m")
    )
    assert "not available relative_humidity_2m" in shown(plan_table_of(plan))


@pytest.mark.parametrize(
    ("n_files", "size"), [(1, "1.5 MB"), (100, "150 MB"), (1000, "1.5 GB"), (10**6, "1.5 TB"), (10**9, "1.5e+03 TB")]
)
def test_sizes_have_three_digits_and_a_unit(n_files, size):
    plan = plan_of((0,), datetime(2024, 1, 1), datetime(2024, 1, 1))
    text = shown(plan_table_of(replace(plan, n_files=n_files, n_leads=n_files)))
    assert f"about {size} of" in text


def test_a_report_shows_what_was_done():
    text = shown(*REPORT.tables())
    assert text.splitlines()[0] == "done"
    for line in (
        "store s3://bucket/x.zarr",
        "files 1,000 read, 200 done before, of 1,200",
        "read 2.5 GB in 6,000 requests, 250.0 MB/s",
        "written 1.23 MB in 2 partitions",
        "time 10.0 s",
    ):
        assert line in text
    assert "gaps" not in text


def test_a_report_explains_gaps_and_interruptions():
    gaps = replace(REPORT, gaps={"not-published": 11, "truncated": 2}, gaps_by_variable={"temperature_2m": 13})
    text = shown(*gaps.tables())
    assert text.splitlines()[0] == "done-with-gaps"
    assert "gaps 11 values not-published: the archive does not have the file" in text
    assert "gaps 2 values truncated: the object ends too early" in text
    assert "temperature_2m 13" in text
    stopped = shown(*replace(REPORT, interrupted=True, seconds=0.0, bytes_read=0).tables())
    assert stopped.splitlines()[0] == "interrupted"
    assert "interrupted: run the same command again for the rest" in stopped
    assert "0 B" in stopped


@pytest.mark.parametrize(
    ("gaps", "interrupted", "outcome", "code"),
    [
        ({}, False, "done", 0),
        ({"truncated": 1}, False, "done-with-gaps", 3),
        ({"truncated": 1}, True, "interrupted", 1),
    ],
)
def test_an_outcome_has_its_exit_code(gaps, interrupted, outcome, code):
    report = replace(REPORT, gaps=gaps, interrupted=interrupted)
    assert (report.outcome, report.exit_code) == (outcome, code)


def test_a_status_shows_what_is_there_and_what_is_not():
    status = Status(
        "x.zarr", datetime(2024, 1, 1), datetime(2024, 12, 31, 23), 3, ("a", "b"), 1000, 20, 3, {"unreachable": 40}
    )
    text = shown(*status.tables())
    assert "runs 2024-01-01T00 to 2024-12-31T23" in text
    assert "files 1,000 complete, 20 with gaps, 3 to do" in text
    assert "variables a, b" in text
    assert "gaps 40 values unreachable: the source gave no complete answer" in text


def test_text_with_brackets_and_escape_sequences_is_printed_as_it_is():
    table = Table("[red]title", (("[/nothing]", "[bold]a[/bold] \x1b[31mred\x1b[0m"),), (Column("a"), Column("[b]")))
    assert shown(table).splitlines() == ["[red]title", "a [b]", r"[/nothing] [bold]a[/bold] \x1b[31mred\x1b[0m"]


def test_tables_have_an_empty_line_between_them():
    assert shown(Table("one", (("a", "b"),)), Table("two", (("c", "d"),))) == "one\na b\n\ntwo\nc d"
