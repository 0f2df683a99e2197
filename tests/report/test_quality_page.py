"""The Markdown page has the assessment in sentences and tables, which render."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import datetime

import pytest
from rich.console import Console

from hrrr_dask.cli.answers import assessment_answer
from hrrr_dask.cli.tables import print_tables
from hrrr_dask.display.figures import format_share
from hrrr_dask.report.assessment import (
    Assessment,
    Example,
    FlagFinding,
    LeadFinding,
    PointFinding,
    RunFinding,
    VariableFinding,
    format_example,
)
from hrrr_dask.report.quality_page import format_quality_page

SPIKE = Example(
    variable="visible_beam_downward_solar_flux",
    value=9876.0,
    units="W m-2",
    flags=("above-limits", "beam-above-solar-constant"),
    init_time=datetime(2024, 3, 1, 12),
    lead_minutes=60,
    point_id="ros|coe",
    latitude=32.27,
    longitude=-100.36,
)
STEP = replace(SPIKE, variable="temperature_2m", value=301.5, units="K", flags=("step-between-runs",), before=275.25)

CLEAN = Assessment(
    store="s3://bucket/x.zarr",
    first_init_time=datetime(2024, 3, 1),
    last_init_time=datetime(2024, 3, 2, 23),
    n_points=3,
    files=912,
    values=30_000,
    missing=96,
    flagged=0,
    variables=(
        VariableFinding("temperature_2m", "K", 15_000, 48, 0, 271.0625, 303.5, 285.1234567),
        VariableFinding("surface_pressure", "Pa", 15_000, 48, 0, 93_000.0, 94_321.0, 93_700.5),
        VariableFinding("RETOP", "m", 0, 0, 0, None, None, None),
    ),
    flags=(),
    points=(),
    runs=(),
    leads=(LeadFinding(0, 15_000, 0), LeadFinding(60, 15_000, 0)),
    examples=(),
)
FLAGGED = replace(
    CLEAN,
    flagged=3,
    flags=(
        FlagFinding("above-limits", SPIKE.variable, 2, 1, SPIKE),
        FlagFinding("beam-above-solar-constant", SPIKE.variable, 2, 1, SPIKE),
        FlagFinding("step-between-runs", "temperature_2m", 1, 1, STEP),
    ),
    points=(PointFinding("ros|coe", 32.27, 259.64, 3),),
    runs=(RunFinding(datetime(2024, 3, 1, 12), 3),),
    examples=(SPIKE, STEP),
)


def tables(page: str) -> dict[str, list[list[str]]]:
    """Return the joined header of each table to its rows."""
    found: dict[str, list[list[str]]] = {}
    for block in page.split("\n\n"):
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.splitlines() if line.startswith("|")]
        if rows:
            assert len({len(row) for row in rows}) == 1, block
            assert all(re.fullmatch(r" -+:? ", cell) for cell in rows[1])
            cells = [[cell.strip() for cell in row] for row in rows]
            found[" ".join(cells[0])] = cells[2:]
    return found


def test_a_page_without_flags_has_the_counts_and_ranges():
    page = format_quality_page(CLEAN)
    assert page.startswith("# Physical quality of `s3://bucket/x.zarr`\n")
    assert "Runs from 2024-03-01 00 to 2024-03-02 23 UTC at 3 points: **30,000** values from 912 files. " in page
    assert "**None** of them is flagged. 96 more are missing (0.32 %); the ledger has the reasons." in page
    assert "flagged. No value is missing." in format_quality_page(replace(CLEAN, missing=0))
    assert "No value was changed." in page
    assert "## Flags" not in page
    assert "## Most extreme values" not in page
    found = tables(page)
    assert found["variable unit minimum mean maximum values missing flagged"] == [
        ["`temperature_2m`", "K", "271.06", "285.12", "303.5", "15,000", "0.32 %", "0"],
        ["`surface_pressure`", "Pa", "93,000", "93,700", "94,321", "15,000", "0.32 %", "0"],
        ["`RETOP`", "m", "-", "-", "-", "0", "0 %", "0"],
    ]
    assert found["lead [h] values flagged"] == [["0", "15,000", "0"], ["1", "15,000", "0"]]
    assert {row[3] for row in found["flag meaning source found"]} == {"no"}


def test_each_flag_has_its_most_extreme_example():
    page = format_quality_page(FLAGGED)
    assert "**3** of them (0.01 %) are flagged" in page
    found = tables(page)
    assert found["flag variable values of all points most extreme"] == [
        [
            "`above-limits`",
            "`visible_beam_downward_solar_flux`",
            "2",
            "0.0067 %",
            "1",
            "9876 W m-2 at ros\\|coe, 2024-03-01T12-f01",
        ],
        [
            "`beam-above-solar-constant`",
            "`visible_beam_downward_solar_flux`",
            "2",
            "0.0067 %",
            "1",
            "9876 W m-2 at ros\\|coe, 2024-03-01T12-f01",
        ],
        [
            "`step-between-runs`",
            "`temperature_2m`",
            "1",
            "0.0033 %",
            "1",
            "301.5 K after 275.25 K at ros\\|coe, 2024-03-01T12-f01",
        ],
    ]
    (example, _) = found["variable value init time lead [h] valid time point location flags"]
    assert example == [
        "`visible_beam_downward_solar_flux`",
        "9876 W m-2",
        "2024-03-01 12",
        "1",
        "2024-03-01 13",
        "ros\\|coe",
        "32.27 N 100.36 W",
        "`above-limits`, `beam-above-solar-constant`",
    ]
    assert found["point location flagged"] == [["ros\\|coe", "32.27 N 100.36 W", "3"]]
    assert found["init time [UTC] flagged"] == [["2024-03-01 12", "3"]]
    is_found = {row[0]: row[3] for row in found["flag meaning source found"]}
    assert (is_found["`above-limits`"], is_found["`solar-closure`"]) == ("yes", "no")
    assert page.endswith("|\n")


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (99, 100, "99 %"),
        (9949, 10_000, "99.49 %"),
        (995_571_379, 10**9, "99.56 %"),
        (100, 100, "100 %"),
        (1, 3_000_000, "3.3e-05 %"),
        (0, 0, "0 %"),
    ],
)
def test_a_share_is_never_rounded_to_0_or_100_percent(part, whole, text):
    assert format_share(part, whole) == text


def test_dimensionless_values_have_no_unit():
    assert format_example(replace(SPIKE, units="1", value=2.0, variable="x")) == "x 2 at ros|coe, 2024-03-01T12-f01"


QUARTERS = replace(
    FLAGGED,
    flags=(FlagFinding("above-limits", SPIKE.variable, 2, 1, replace(SPIKE, lead_minutes=315)),),
    examples=(replace(SPIKE, lead_minutes=315), replace(STEP, lead_minutes=360)),
    leads=(LeadFinding(0, 1_000, 0), LeadFinding(15, 1_000, 0), LeadFinding(315, 1_000, 2), LeadFinding(360, 1_000, 1)),
)
"""An assessment of lead times that are not all whole hours."""


def test_a_page_with_quarter_hours_has_hours_and_minutes():
    found = tables(format_quality_page(QUARTERS))
    assert [row[0] for row in found["lead time values flagged"]] == ["0 h", "15 min", "5 h 15 min", "6 h"]
    rows = found["variable value init time lead time valid time point location flags"]
    assert [row[2:5] for row in rows] == [
        ["2024-03-01 12", "5 h 15 min", "2024-03-01 17:15"],
        ["2024-03-01 12", "6 h", "2024-03-01 18:00"],
    ]
    (worst,) = (row[-1] for row in found["flag variable values of all points most extreme"])
    assert worst == "9876 W m-2 at ros\\|coe, 2024-03-01T12-f06 (5 h 15 min)"


def test_an_example_names_its_file_and_the_lead_time_if_that_is_not_its_hour():
    for minutes, label in ((0, "f00"), (15, "f01 (15 min)"), (75, "f02 (1 h 15 min)"), (360, "f06")):
        text = format_example(replace(SPIKE, lead_minutes=minutes), bare=True)
        assert text == f"9876 W m-2 at ros|coe, 2024-03-01T12-{label}"


def test_json_has_whole_hours_or_minutes():
    hourly = assessment_answer(FLAGGED)
    assert [json.dumps(row) for row in hourly["leads"]] == [
        '{"lead_hours": 0, "values": 15000, "flagged": 0}',
        '{"lead_hours": 1, "values": 15000, "flagged": 0}',
    ]
    assert [json.dumps(one["lead_hours"]) for one in hourly["examples"]] == ["1", "1"]
    assert json.dumps(hourly["flags"][0]["worst"]["lead_hours"]) == "1"
    assert list(hourly["examples"][0])[4:7] == ["init_time", "lead_hours", "point_id"]
    assert "lead_minutes" not in json.dumps(hourly, default=str)
    quarters = assessment_answer(QUARTERS)
    assert [row["lead_minutes"] for row in quarters["leads"]] == [0, 15, 315, 360]
    assert [one["lead_minutes"] for one in quarters["examples"]] == [315, 360]
    assert quarters["flags"][0]["worst"]["lead_minutes"] == 315
    assert "lead_hours" not in json.dumps(quarters, default=str)


def test_tables_with_quarter_hours_are_legible():
    console = Console(width=200, record=True, file=io.StringIO())
    print_tables(console, QUARTERS.tables())
    assert "9876 W m-2 at ros|coe, 2024-03-01T12-f06 (5 h 15 min)" in console.export_text()
