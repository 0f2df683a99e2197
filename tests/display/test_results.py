"""Results at a prompt and in a notebook: short, whole, well-formed, and harmless whatever the names in them."""

from __future__ import annotations

import pickle
import re
from dataclasses import asdict, fields, replace
from datetime import datetime
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import hrrr_dask
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES, parse_variables
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import Selection
from hrrr_dask.display.tables import Column, Displayed, Table
from hrrr_dask.ledger.completeness import StatusRow
from hrrr_dask.ledger.gaps import Gap
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.planning.plan import Plan, make_plan
from hrrr_dask.report.assessment import Assessment, Example, FlagFinding, LeadFinding, PointFinding, VariableFinding
from hrrr_dask.report.checked import Checked, CheckReport
from hrrr_dask.report.differences import Difference, Healed, Unchecked, VerifyReport
from hrrr_dask.report.results import Report, Status
from hrrr_dask.report.watched import WatchReport
from hrrr_dask.tables.report import ExportReport

EVIL = "s3://b/<script>alert('\"&')</script>\x1b[31m\u202e\n.zarr"
"""A store's name that is HTML, colours a terminal, turns the direction of writing, and has two lines."""

NAMES = tuple(f"variable_with_a_long_name_{number}" for number in range(40))
START, END = datetime(2015, 1, 1), datetime(2024, 12, 31, 23)
GAPS = dict.fromkeys(OUTCOMES, 1234567)

PLAN = make_plan(
    Selection(parse_variables([*DEFAULT_VARIABLES, "wind_gust_surface"]), tuple(range(0, 2881, 60))),
    Period(START, END),
    n_points=5000,
    layout=Layout(7, 1000, 50),
    now=datetime(2024, 6, 1),
    axis=Axis(START, tuple(range(24))),
)
REPORT = Report(
    store=EVIL,
    files_wanted=1_000_000,
    files_done_before=200_000,
    files_read=800_000,
    gaps=GAPS,
    gaps_by_variable=dict.fromkeys(NAMES, 1_234_567),
    partitions_written=200,
    bytes_read=2_500_000_000_000,
    requests=6_000_000,
    bytes_written=1_234_567_890,
    seconds=100_000.0,
    interrupted=True,
    decoded_by={"numba": 1, "eccodes": 2},
    skipped_sources={"aws": "it was away, " * 50},
    first_files_with_gaps=("20240101T06-f05",) * 20,
)
GAP = Gap(START, 300, ("t", "rain"), "truncated", "--retry-gaps", 2, True, "a/b", "", f"line\n{EVIL}")
STATUS = Status(
    EVIL,
    START,
    END,
    5000,
    NAMES,
    1_000_000,
    20,
    3,
    GAPS,
    (StatusRow("2024-01-01", 3, 2, 1, 0, (("truncated", 1),)),) * 120,
    (GAP,) * 60,
)
EXAMPLE = Example("t", 400.0, "K", ("above-limits",), START, 60, "<b>", 40.0, -100.0)
ASSESSMENT = Assessment(
    store=EVIL,
    first_init_time=START,
    last_init_time=END,
    n_points=3,
    files=912,
    values=30_000,
    missing=96,
    flagged=3,
    variables=tuple(VariableFinding(name, "K", 15_000, 48, 0, 271.0625, 303.5, 285.1) for name in NAMES),
    flags=(FlagFinding("above-limits", "t", 2, 1, EXAMPLE),),
    points=(PointFinding("<b>", 32.27, 259.64, 3),) * 5,
    runs=(),
    leads=(LeadFinding(0, 15_000, 0),) * 49,
    examples=(EXAMPLE,) * 10,
)
VERIFIED = VerifyReport(
    store=EVIL,
    files=20,
    files_in_store=1200,
    seed=7,
    values_compared=1100,
    values_equal=1090,
    gap_values=40,
    counts={"other-value": 10},
    differences=(Difference("other-value", "20240101T00-f01", "t", "<i>", 1.0, 2.0),) * 100,
    unchecked_values=6,
    unchecked=(Unchecked("20240101T12-f01", NAMES, "not-published", EVIL, 3),),
    healed_gaps=1,
    healed=(Healed("20240101T12-f02", "t", "truncated"),),
    bytes_read=3_000_000_000,
    seconds=12.0,
)
EXPORTED = ExportReport(EVIL, f"s3://<b>/{EVIL}", "parquet", "long", 31, 334, 2, 3_000_000, 12_000_000, 40.0, True)
WATCHED = WatchReport(
    store=EVIL,
    queue=f"https://sqs.us-east-1.amazonaws.com/1/{EVIL}",
    messages=1500,
    ignored=900,
    unreadable=1,
    files_told=600,
    files_done_before=40,
    files_read=550,
    files_swept=3,
    times_left=10,
    sweeps=1,
    newest_run=END,
    newest_run_age_s=5_700.0,
    seconds=3_600.0,
    interrupted=True,
)
CHECKED = CheckReport(
    store=EVIL,
    checks=(
        Checked("readable", True, "metadata and ledger read in 0.1 s"),
        Checked("writable", False, f"cannot write to {EVIL}", "see permissions"),
        Checked("age", False, "the newest run is old, " * 20, "see why"),
    ),
    first_init_time=START,
    last_init_time=END,
    newest_run=END,
    newest_run_age_s=5_700.0,
    due_run=END,
    values_wanted=1_000_000,
    gaps=GAPS,
)
RESULTS: tuple[Any, ...] = (PLAN, REPORT, STATUS, ASSESSMENT, VERIFIED, EXPORTED, WATCHED, CHECKED)
EACH = pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)


def test_every_public_result_is_here():
    public = {value for name in hrrr_dask.__all__ if isinstance(value := getattr(hrrr_dask, name), type)}
    assert public <= {type(result) for result in RESULTS}
    assert all(issubclass(each, Displayed) for each in public)


@EACH
def test_at_a_prompt_a_result_is_a_few_short_lines(result):
    text = repr(result)
    first, *lines = text.splitlines()
    assert first.startswith(f"<hrrr_dask.{type(result).__name__}")
    assert 5 <= len(lines) <= 16
    assert max(map(len, lines)) <= 110
    assert len(text) < 1800
    assert str(result) == text
    assert text.replace("\n", "").isprintable(), "nothing moves the cursor or colours the terminal"


def test_a_prompt_shows_the_outcome_and_the_figures():
    report = replace(REPORT, store="x.zarr", gaps={}, gaps_by_variable={}, interrupted=False, skipped_sources={})
    assert repr(report).splitlines() == [
        "<hrrr_dask.Report: done>",
        "  store    x.zarr",
        "  files    800,000 read, 200,000 done before, of 1,000,000",
        "  read     2.5 TB in 6,000,000 requests, 25.0 MB/s",
        "  decoded  2 values by eccodes",
        "  written  1.23 GB in 200 partitions",
        "  time     100000.0 s",
    ]
    assert repr(REPORT).splitlines()[-1].strip().startswith("… and ")
    assert repr(PLAN).startswith("<hrrr_dask.Plan>\n")
    assert repr(STATUS).startswith("<hrrr_dask.Status>\n")


class Outline(HTMLParser):
    """Collects the elements of HTML, and checks that each is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@EACH
def test_in_a_notebook_a_result_is_well_formed_html_without_resources(result):
    html = result._repr_html_()
    ET.fromstring(html)
    outline = Outline(html)
    known = {"div", "style", "table", "thead", "tbody", "tr", "th", "td", "details", "summary"}
    assert {tag for tag, _ in outline.found} <= known, "no script, and nothing from the name of a store"
    assert {name for _, attributes in outline.found for name in attributes} <= {"class", "scope"}
    (style,) = (text for text in outline.text if text.startswith(".hrrr-dask"))
    assert "url(" not in html
    assert "@import" not in style
    assert set(re.findall(r"(?:color|background):([^;}]+)", style)) == {"inherit", "transparent"}, (
        "as the page has them"
    )


@EACH
def test_in_a_notebook_every_cell_of_every_table_is_there_escaped(result):
    text = Outline(result._repr_html_()).text
    for table in result.tables():
        assert not {cell for row in table.rows for cell in row if cell} - set(text)
        assert not {column.name for column in table.columns} - set(text)


@EACH
def test_the_name_of_a_store_does_no_harm(result):
    html = result._repr_html_()
    assert "<script" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    if not isinstance(result, Plan):
        assert "s3://b/&lt;script&gt;alert(&#x27;&quot;&amp;&#x27;)&lt;/script&gt;\\x1b[31m\\u202e .zarr" in html


@EACH
def test_equality_pickling_and_asdict_know_nothing_of_it(result):
    copy = pickle.loads(pickle.dumps(result))
    assert copy == result
    assert copy is not result
    assert replace(result) == result
    assert set(asdict(result)) == {field.name for field in fields(result)}
    assert not hasattr(result, "__dict__")


def test_more_gaps_than_a_table_has_are_counted():
    *_, gaps = STATUS.tables()
    assert gaps.title == "60 gaps, the first 50; --json and gap_list have all"
    assert len(gaps.rows) == 50


def test_a_table_keeps_printable_text_and_escapes_the_rest():
    table = Table("a\tb", (("naïve 風", "\x00\r\n\u2066"),), (Column("one"), Column("two", right=True)))
    assert table.title == "a b"
    assert table.rows == (("naïve 風", "\\x00  \\u2066"),)
