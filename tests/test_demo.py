"""The demo as a new user runs it: it ends well, its store has gaps to look at, and its advice works as printed."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

import hrrr_dask
from hrrr_dask.demo import CUT, MOMENT, POINTS, UNPUBLISHED, DemoResult
from hrrr_dask.report.results import Report

COMMAND = [sys.executable, "-c", "from hrrr_dask.cli.commands import main; main()"]


def run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> tuple[Path, str]:
    """The directory in which the demo was run, and what it printed."""
    root = tmp_path_factory.mktemp("demo")
    done = run([*COMMAND, "demo", "hrrr-demo"], root)
    assert done.returncode == 0, done.stderr
    return root, done.stdout


@pytest.fixture(scope="module")
def ds(ran):
    return hrrr_dask.open_dataset(ran[0] / "hrrr-demo" / "demo.zarr")


def test_the_demo_says_which_files_are_bad_and_that_this_is_meant(ran):
    for text in ("bad on purpose", CUT.label, UNPUBLISHED.label, "exit code 3, the demo with 0"):
        assert text in ran[1]


def test_the_status_of_its_store_has_a_gap_and_an_error(ran):
    found = hrrr_dask.status(ran[0] / "hrrr-demo" / "demo.zarr", gaps=True)
    assert (found.files_complete, found.files_with_gaps, found.files_to_do) == (102, 2, 0)
    assert found.newest_run == datetime(2024, 7, 2, 18)
    assert set(found.gaps) == {"truncated", "not-published"}


def test_the_latest_forecast_is_of_two_runs_and_was_published_then(ds):
    known = ds.hrrr.latest(as_of=MOMENT).load()
    assert known.temperature_2m.notnull().all()
    assert {str(time)[:13] for time in known.init_time.values} == {"2024-07-02T00", "2024-07-02T06"}
    assert (known.available_at <= np.datetime64(MOMENT)).all()


def test_every_file_is_known_since_about_when_noaa_publishes_it(ds):
    minutes = (ds.available_at - ds.init_time) / np.timedelta64(1, "m")
    assert (minutes.min().item(), minutes.max().item()) == (51, 106)
    assert (minutes.diff("lead_time").fillna(1) > 0).all()


def test_the_three_commands_that_it_names_work_as_printed(ran):
    root, text = ran
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("  ")][-3:]
    assert [command[0] for command in commands] == ["hrrr-dask", sys.executable, "hrrr-dask"]
    answers = []
    for command in commands:
        first = COMMAND if command[0] == "hrrr-dask" else [sys.executable, "-W", "error"]
        answers.append(run([*first, *command[1:]], root))
    assert [answer.returncode for answer in answers] == [0, 0, 0], [answer.stderr for answer in answers]
    status, latest, verify = (answer.stdout for answer in answers)
    assert "truncated" in status
    assert "not-published" in status
    assert "temperature_2m" in latest
    assert "0 different" in verify


def test_a_second_run_reads_nothing_and_ends_well_too(ran):
    done = run([*COMMAND, "demo", "hrrr-demo"], ran[0])
    assert done.returncode == 0, done.stderr
    assert "0 read, 104 done before, of 104" in done.stdout


REPORT = Report(
    store="s.zarr",
    files_wanted=104,
    files_done_before=0,
    files_read=104,
    gaps={"truncated": 13, "not-published": 13},
    gaps_by_variable={},
    partitions_written=1,
    bytes_read=100,
    requests=8,
    bytes_written=50,
    seconds=1.5,
    interrupted=False,
    first_files_with_gaps=(CUT.label, UNPUBLISHED.label),
)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, 0),
        ({"gaps": {}, "first_files_with_gaps": ()}, 0),
        ({"interrupted": True}, 1),
        ({"first_files_with_gaps": (CUT.label, f"{datetime(2024, 7, 1):%Y%m%dT%H}-f00")}, 3),
    ],
)
def test_only_the_gaps_that_the_demo_makes_are_well(changed, code):
    assert DemoResult(replace(REPORT, **changed), Path("s.zarr"), Path("s.png")).exit_code == code


def test_the_points_are_those_of_the_demo(ds):
    assert ds.point_id.values.tolist() == [point[0] for point in POINTS]
