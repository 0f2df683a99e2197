"""The command line, first half: flags arrive, answers go to stdout and talk to stderr, exit codes are right.

What the functions behind it do is tested elsewhere; here they are replaced, or fail before they read anything.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import dask.config
import pytest
from click.testing import CliRunner, Result

import hrrr_dask
from hrrr_dask import api, demo
from hrrr_dask.audit import assess as assessing
from hrrr_dask.audit import status as standing
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.cli.commands import cli
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import DEFAULTS, Selection
from hrrr_dask.demo import DemoResult
from hrrr_dask.errors import ConfigError, NotPublishedError, StoreAccessError
from hrrr_dask.job import calibrate
from hrrr_dask.job.costs import Calibration
from hrrr_dask.ledger.completeness import StatusRow
from hrrr_dask.ledger.gaps import Gap
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.planning.plan import make_plan
from hrrr_dask.report.results import Report, Status

REPORT = Report(
    store="s.zarr",
    files_wanted=6,
    files_done_before=2,
    files_read=4,
    gaps={},
    gaps_by_variable={},
    partitions_written=1,
    bytes_read=100,
    requests=8,
    bytes_written=50,
    seconds=1.5,
    interrupted=False,
)
STATUS = Status(
    "s.zarr",
    datetime(2024, 1, 1),
    datetime(2024, 1, 2, 23),
    2,
    ("temperature_2m",),
    5,
    1,
    0,
    {"truncated": 1},
    (StatusRow("2024-01-01", 3, 2, 1, 0, (("truncated", 1),)), StatusRow("2024-01-02", 3, 3, 0, 0, ())),
)
PLAN = make_plan(
    Selection(parse_variables(["temperature_2m", "precipitation_1h"]), (0, 60, 1200), (0, 6)),
    Period(datetime(2024, 1, 1), datetime(2024, 1, 2, 6)),
    n_points=2,
    layout=Layout(1, 2, 2),
    now=datetime(2025, 1, 1),
    axis=Axis(datetime(2024, 1, 1), (0, 6)),
)
PERIOD = ("--points", "p.csv", "--start", "2024-01-01", "--end", "2024-01-02")
SELECTION_FLAGS = (
    *("--cycles", "0,6", "--lead-hours", "0-3", "--variables", "temperature_2m,APCP:surface:1 hour acc"),
    *("--product", "sfc", "--domain", "conus", "--method", "bilinear"),
    *("--source", "/data/hrrr", "--source", "aws"),
    *("--source-option", "endpoint=http://localhost:9000", "--source-option", "anonymous=true"),
    *("--partition-days", "7", "--memory-limit-mb", "1000", "--shard-points", "20", "--chunk-points", "10"),
    *("--axis-start", "2020-01-01"),
)
SELECTION_SETTINGS = {
    "cycles": "0,6",
    "lead_hours": "0-3",
    "variables": "temperature_2m,APCP:surface:1 hour acc",
    "product": "sfc",
    "domain": "conus",
    "method": "bilinear",
    "source": ["/data/hrrr", "aws"],
    "source_options": {"endpoint": "http://localhost:9000", "anonymous": "true"},
    "partition_days": 7,
    "memory_limit_mb": 1000,
    "shard_points": 20,
    "chunk_points": 10,
    "axis_start": "2020-01-01",
}


@pytest.fixture(autouse=True)
def no_settings_of_this_machine():
    with dask.config.set({"hrrr": {}}):
        yield


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """What was called, and with what."""
    made: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def recorder(name: str, answer: Any):
        def record(*args: Any, **kwargs: Any) -> Any:
            made.append((name, args, kwargs))
            return answer

        return record

    monkeypatch.setattr(api, "plan", recorder("plan", PLAN))
    for name in ("backfill", "update", "add_points", "add_variables"):
        monkeypatch.setattr(api, name, recorder(name, REPORT))
    monkeypatch.setattr(standing, "status", recorder("status", STATUS))
    monkeypatch.setattr(standing, "compact", recorder("compact", (12, 1)))
    monkeypatch.setattr(calibrate, "calibrate", recorder("calibrate", Calibration(0.1, 0.2, 4, measured=True)))
    return made


def answering(monkeypatch, answer: Report | Exception | type[BaseException]) -> None:
    def backfill(**_: Any) -> Report:
        if isinstance(answer, Report):
            return answer
        raise answer

    monkeypatch.setattr(api, "backfill", backfill)


def run(*args: str) -> Result:
    return CliRunner().invoke(cli, args)


def test_plan_passes_only_what_was_given(calls):
    assert run("plan", *PERIOD).exit_code == 0
    ((name, args, settings),) = calls
    assert (name, args) == ("plan", ())
    assert settings == {"points": "p.csv", "start": "2024-01-01", "end": "2024-01-02", "store": ""}


def test_every_selection_flag_of_plan_arrives(calls):
    assert run("plan", *PERIOD, *SELECTION_FLAGS, "--store", "s3://b/s", "--store-option", "region=x").exit_code == 0
    settings = calls[0][2]
    assert settings == SELECTION_SETTINGS | {
        "points": "p.csv",
        "start": "2024-01-01",
        "end": "2024-01-02",
        "store": "s3://b/s",
        "store_options": {"region": "x"},
    }


def test_every_flag_of_backfill_arrives(calls):
    flags = ("--cluster", "tcp://h:8786", "--workers", "3", "--engine", "cfgrib", "--retry-gaps")
    flags += ("--files-per-task", "2")
    result = run("backfill", *PERIOD, *SELECTION_FLAGS, "--store", "s.zarr", "--store-option", "region=x", *flags)
    assert result.exit_code == 0
    settings = dict(calls[0][2])
    assert settings.pop("progress") is True
    assert settings == SELECTION_SETTINGS | {
        "points": "p.csv",
        "start": "2024-01-01",
        "end": "2024-01-02",
        "store": "s.zarr",
        "store_options": {"region": "x"},
        "cluster": "tcp://h:8786",
        "workers": 3,
        "engine": "cfgrib",
        "files_per_task": "2",
        "retry_gaps": True,
    }


@pytest.mark.parametrize(
    ("command", "flags", "settings"),
    [
        ("update", ("--end", "2024-01-02"), {"end": "2024-01-02", "until_complete": False}),
        ("update", ("--until-complete", "--deadline", "50min"), {"until_complete": True, "deadline": "50min"}),
        ("add-points", ("--points", "new.csv"), {"points": "new.csv"}),
        ("add-variables", ("--variables", "wind_gust_surface"), {"variables": "wind_gust_surface"}),
    ],
)
def test_a_store_is_continued_by_naming_it_and_what_is_new(calls, command, flags, settings):
    where = ("--store", "s.zarr", "--store-option", "region=x", "--source", "/data", "--workers", "2")
    result = run(command, *where, *flags, "--json")
    assert (result.exit_code, json.loads(result.stdout)["outcome"]) == (0, "done")
    ((name, args, given),) = calls
    assert (name, args) == (command.replace("-", "_"), ())
    assert given.pop("progress") is True
    assert given == settings | {
        "store": "s.zarr",
        "store_options": {"region": "x"},
        "source": ["/data"],
        "workers": 2,
    }


def test_a_compact_ledger_is_counted(calls):
    assert run("compact", "--store", "s").stdout == "the ledger of s was 12 objects and is 1\n"
    assert json.loads(run("compact", "--store", "s", "--json").stdout)["ledger_objects"] == 1


def test_twenty_thousand_points_are_planned_with_the_defaults(tmp_path):
    rows = (f"{30 + k % 100 / 10:.2f},{-110 + k // 100 / 10:.2f}" for k in range(20_000))
    (tmp_path / "many.csv").write_text("latitude,longitude\n" + "\n".join(rows) + "\n")
    asked = ("--points", str(tmp_path / "many.csv"), "--start", "2024-01-01", "--end", "2024-01-31")
    planned = run("plan", *asked, "--json")
    assert planned.exit_code == 0, planned.stderr
    answer = json.loads(planned.stdout)
    assert answer["worker_bytes"] < 4_096_000_000
    assert answer["layout"] == {"partition_days": 1, "shard_points": 1000, "chunk_points": 100}
    assert answer["layout_reason"] == "the shortest, as each update rewrites the partition"
    assert answer["step_files"] >= 19
    refused = run("plan", *asked, "--partition-days", "400", "--shard-points", "20000")
    assert refused.exit_code == 2
    assert "make the shards smaller (--partition-days, now 400)" in refused.stderr


def test_the_costs_of_a_plan_say_what_they_rest_on(calls):
    text = " ".join(run("plan", *PERIOD).stdout.split())
    assert "core-hours with auto (2 ms a message, assumed; measure with --calibrate)" in text
    measured = run("plan", *PERIOD, "--calibrate", "--dollars-per-core-hour", "2")
    assert "measuring the decoding speed of this machine with auto" in measured.stderr
    assert "(100 ms a message, measured)" in " ".join(measured.stdout.split())
    assert "at 2 a core-hour" in " ".join(measured.stdout.split())
    costs = json.loads(run("plan", *PERIOD, "--json").stdout)["costs"]
    assert {"core_hours", "dollars", "objects_a_year", "series_requests", "stored_bytes_a_year"} <= set(costs)


def test_a_status_has_a_row_a_day_and_says_where_its_picture_is(calls):
    text = run("status", "--store", "s.zarr", "--plot", "s.png").stdout
    assert calls[0][2]["plot"] == "s.png"
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "2024-01-01 3 2 1 - 1 truncated" in lines
    assert "2024-01-02 3 3 - -" in lines
    assert "plot s.png" in lines


def test_backfill_passes_only_what_was_given(calls):
    assert run("backfill", *PERIOD, "--store", "s.zarr").exit_code == 0
    assert set(calls[0][2]) == {"points", "start", "end", "store", "retry_gaps", "progress"}
    assert calls[0][2]["retry_gaps"] is False


def test_every_flag_of_status_arrives(calls):
    assert run("status", "--store", "s3://b/s", "--store-option", "endpoint=http://h:1").exit_code == 0
    assert calls == [("status", ("s3://b/s",), {"plot": "", "gaps": False, "endpoint": "http://h:1"})]


def test_gaps_are_listed_for_people_and_for_programs(monkeypatch):
    gap = Gap(
        datetime(2024, 1, 1, 6), 300, ("t", "rain"), "truncated", "--retry-gaps", 2, True, "a/b", "", "line\ncut off"
    )
    listed = replace(STATUS, gap_list=(gap,) * 60)
    monkeypatch.setattr(standing, "status", lambda *_, **__: listed)
    shown = run("status", "--store", "s", "--gaps").stdout
    assert "60 gaps, the first 50; --json and gap_list have all" in shown
    assert shown.count("2024-01-01T06   5 h  truncated      2  --retry-gaps") == 50
    assert "quarantined:" in shown
    answer = json.loads(run("status", "--store", "s", "--gaps", "--json").stdout)
    assert len(answer["gap_list"]) == 60
    assert answer["gap_list"][0]["variables"] == ["t", "rain"]


def test_every_flag_of_quality_arrives(calls, monkeypatch):
    def assess(*args: Any, **kwargs: Any) -> Any:
        calls.append(("assess", args, kwargs))
        raise ConfigError("enough")

    monkeypatch.setattr(assessing, "assess", assess)
    given = {"start": "2024-01-01", "end": "2024-02-01", "markdown": "q.md", "plot": "q.png"}
    options = [text for name, value in given.items() for text in (f"--{name}", value)]
    assert run("quality", "--store", "s3://b/s", "--store-option", "endpoint=http://h:1", *options).exit_code == 2
    assert run("quality", "--store", "s").exit_code == 2
    assert calls == [
        ("assess", ("s3://b/s",), {**given, "progress": True, "endpoint": "http://h:1"}),
        ("assess", ("s",), {**dict.fromkeys(given, ""), "progress": True}),
    ]


def test_a_value_may_hold_an_equals_sign(calls):
    assert run("status", "--store", "s", "--store-option", "region = a=b ").exit_code == 0
    assert calls[0][2] == {"plot": "", "gaps": False, "region": "a=b"}


def test_every_flag_of_the_settings_is_a_setting():
    names = {option for command in ("plan", "backfill", "update") for option in options_of(command)}
    of_the_call = {"points", "start", "end", "store", "json", "retry-gaps", "source-option", "store-option", "help"}
    of_the_call |= {
        "calibrate",
        "kubernetes-option",
        "dry-run",
        "metrics",
        "notify",
        "until-complete",
        "log-format",
        "log-level",
    }
    assert names - of_the_call <= set(DEFAULTS)
    assert set(DEFAULTS) - names == {"fetch", "kubernetes", "source-options", "store-options"}


def options_of(command: str) -> set[str]:
    found = cli.commands[command].params
    return {option.removeprefix("--") for param in found if isinstance(param, click.Option) for option in param.opts}


def test_the_plan_as_json_can_be_read_by_a_program(calls):
    result = run("plan", *PERIOD, "--json")
    answer = json.loads(result.stdout)
    assert answer["start"] == "2024-01-01T00:00:00"
    assert (answer["runs"], answer["files"], answer["points"], answer["partitions"]) == (4, 12, 2, 2)
    assert answer["lead_hours_not_reached"] == {}
    assert answer["variables"]["precipitation_1h"] == "APCP:surface:1 hour acc"
    assert answer["layout"] == {"partition_days": 1, "shard_points": 2, "chunk_points": 2}
    assert {"bytes_to_read", "requests", "worker_bytes", "partition_bytes", "not_started"} <= set(answer)
    assert result.stderr == ""


def test_the_report_as_json_is_the_report_and_its_outcome(calls):
    answer = json.loads(run("backfill", *PERIOD, "--store", "s.zarr", "--json").stdout)
    assert answer == {
        "outcome": "done",
        "store": "s.zarr",
        "files_wanted": 6,
        "files_done_before": 2,
        "files_read": 4,
        "gaps": {},
        "gaps_by_variable": {},
        "partitions_written": 1,
        "bytes_read": 100,
        "requests": 8,
        "bytes_written": 50,
        "seconds": 1.5,
        "interrupted": False,
        "decoded_by": {},
        "skipped_sources": {},
        "first_files_with_gaps": [],
        "arrivals": [],
        "newest_run": None,
    }


def test_the_status_as_json_has_its_times_in_iso(calls):
    answer = json.loads(run("status", "--store", "s.zarr", "--json").stdout)
    assert answer["first_init_time"] == "2024-01-01T00:00:00"
    assert answer["gaps"] == {"truncated": 1}


@pytest.mark.parametrize("command", ["plan", "backfill", "status"])
def test_for_people_the_answer_is_a_table_on_stdout(calls, command):
    args = {"plan": PERIOD, "backfill": (*PERIOD, "--store", "s.zarr"), "status": ("--store", "s.zarr")}[command]
    result = run(command, *args)
    assert "files" in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (REPORT, 0),
        (replace(REPORT, gaps={"truncated": 1}), 3),
        (replace(REPORT, interrupted=True), 1),
        (replace(REPORT, interrupted=True, gaps={"truncated": 1}), 1),
    ],
    ids=["done", "gaps", "interrupted", "interrupted with gaps"],
)
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_the_exit_code_says_how_it_ended(monkeypatch, report, code, flags):
    answering(monkeypatch, report)
    result = run("backfill", *PERIOD, "--store", "s.zarr", *flags)
    assert result.exit_code == code
    assert report.outcome in result.stdout


@pytest.mark.parametrize(
    ("error", "code"), [(StoreAccessError("no rights; ask for them"), 1), (NotPublishedError("none there"), 1)]
)
def test_an_error_is_one_line_on_stderr_and_for_programs_json_on_stdout(monkeypatch, error, code):
    answering(monkeypatch, error)
    plain = run("backfill", *PERIOD, "--store", "s.zarr")
    assert (plain.exit_code, plain.stdout, plain.stderr) == (code, "", f"error: {error}\n")
    spoken = run("backfill", *PERIOD, "--store", "s.zarr", "--json")
    assert spoken.exit_code == code
    assert json.loads(spoken.stdout) == {"outcome": "failed", "error": {"code": error.code, "text": str(error)}}


def test_ctrl_c_says_how_to_go_on(monkeypatch):
    answering(monkeypatch, KeyboardInterrupt)
    result = run("backfill", *PERIOD, "--store", "s.zarr")
    assert result.exit_code == 1
    assert "the same command again does the rest" in result.stderr


def test_a_fault_of_our_own_is_not_hidden(monkeypatch):
    answering(monkeypatch, ZeroDivisionError("ours"))
    assert isinstance(run("backfill", *PERIOD, "--store", "s.zarr").exception, ZeroDivisionError)


@pytest.fixture
def points(tmp_path) -> Path:
    path = tmp_path / "p.csv"
    path.write_text("latitude,longitude\n32.3,-100.3\n")
    return path


BAD = {
    "unknown variable": (("--variables", "temperature_3m"), "did you mean temperature_2m"),
    "end before start": (("--start", "2024-01-03"), "the end 2024-01-02 is before the start 2024-01-03"),
    "no date": (("--start", "yesterday"), "start 'yesterday' is not understood"),
    "lead hours": (
        ("--start", "2024-01-02T05", "--end", "2024-01-02T05", "--lead-hours", "0-24"),
        "the furthest here is 18 h",
    ),
    "lead hours beyond all": (("--lead-hours", "0-49"), "is not an hour or a range within 0-48"),
    "before the archive": (("--start", "2014-07-29"), "the archive starts on 2014-07-30"),
    "not yet": (("--start", "2090-01-01", "--end", "2090-01-02"), "has started yet"),
    "cycles": (("--cycles", "0,24"), "cycles '0,24'"),
    "no KEY=VALUE": (("--source-option", "anonymous"), "--source-option 'anonymous' is not KEY=VALUE"),
    "no KEY": (("--store-option", "=x"), "--store-option '' is not KEY=VALUE"),
    "a secret": (("--source", "s3://b", "--source-option", "secret_access_key=x"), "looks like a secret"),
    "missing file": (("--points", "nowhere.csv"), "points file 'nowhere.csv' does not exist"),
    "unknown source": (("--source", "asw"), "did you mean 'aws'"),
    "unknown method": (("--method", "cubic"), "method 'cubic' is unknown"),
    "unknown product": (("--product", "sfcc"), "did you mean sfc"),
    "unknown domain": (("--domain", "alska"), "did you mean alaska"),
    "too much memory": (
        ("--memory-limit-mb", "10"),
        "raise --memory-limit-mb, make the shards smaller (--partition",
    ),
    "store scheme": (("--store", "ftp://x/y"), "ftp:// is not a kind of storage"),
}


@pytest.mark.parametrize("case", sorted(BAD))
@pytest.mark.parametrize("command", ["plan", "backfill"])
def test_a_request_that_cannot_be_met_exits_2_says_why_and_writes_nothing(command, case, points, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags, text = BAD[case]
    given = ("--points", str(points), "--start", "2024-01-01", "--end", "2024-01-02", "--store", "s.zarr", *flags)
    result = run(command, *given)
    assert result.exit_code == 2, result.output
    assert text in result.stderr
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_a_bad_engine_is_found_before_anything_is_read(points, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ("backfill", "--points", str(points), *PERIOD[2:], "--store", "s.zarr")
    result = run(*given, "--engine", "eccode")
    assert (result.exit_code, "did you mean eccodes" in result.stderr) == (2, True)


@pytest.mark.parametrize("command", ["status", "plan"])
def test_errors_of_usage_are_json_when_asked(command, tmp_path):
    args = ("--store", str(tmp_path / "none")) if command == "status" else (*PERIOD, "--variables", "x")
    result = run(command, *args, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == {"status": "store-mismatch", "plan": "bad-setting"}[command]


@pytest.mark.parametrize(
    "args",
    [
        ("plan",),
        ("backfill", *PERIOD),
        ("status",),
        ("nonsense",),
        ("plan", *PERIOD, "--nonsense"),
        ("plan", *PERIOD, "--partition-days", "x"),
        ("status", "--store", "s", "extra"),
    ],
)
def test_what_click_cannot_parse_exits_2(args):
    result = run(*args)
    assert result.exit_code == 2
    assert "Usage:" in result.stderr
    assert result.stdout == ""


def test_a_plan_reads_and_writes_nothing(points, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("plan", "--points", str(points), *PERIOD[2:], "--store", "s.zarr", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["files"] == 48 * 19
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.parametrize("command", sorted(cli.commands))
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_every_command_has_help_for_each_of_its_options(command, flag):
    result = run(command, flag)
    assert result.exit_code == 0
    for param in cli.commands[command].params:
        if isinstance(param, click.Option):
            assert param.opts[0] in result.stdout
            assert param.help


def test_help_names_the_commands_and_exit_codes():
    text = run("--help").stdout
    assert all(command in text for command in cli.commands)
    assert "0 done, 1 failed, 2 usage, 3 done with gaps" in " ".join(text.split())


def test_defaults_in_the_help_are_the_settings_own():
    text = " ".join(run("backfill", "--help").stdout.split())
    for name in ("cycles", "lead-hours", "product", "domain", "method", "engine", "cluster", "memory-limit-mb"):
        assert f"[default: {DEFAULTS[name]}]" in text, name
    assert f"[default: {DEFAULTS['source'][0]}]" in text


def test_the_version_is_the_packages():
    assert run("--version").stdout == f"hrrr-dask, version {hrrr_dask.__version__}\n"


def test_the_demo_says_where_everything_is(monkeypatch, tmp_path):
    report = replace(REPORT, gaps={"truncated": 1}, first_files_with_gaps=("20240701T06-f03",))

    def run_demo(directory: str, **_: Any) -> DemoResult:
        return DemoResult(report, Path(directory) / "demo.zarr", Path(directory) / "demo.png")

    monkeypatch.setattr(demo, "run_demo", run_demo)
    result = run("demo", "here")
    assert result.exit_code == 3
    assert "here/demo.zarr" in result.stdout
    assert "here/demo.png" in result.stdout
    assert "hrrr_dask.open_dataset('here/demo.zarr')" in result.stdout


def test_it_is_a_command_of_its_own_and_of_dask():
    from importlib.metadata import entry_points

    (script,) = entry_points(group="console_scripts", name="hrrr-dask")
    (plugin,) = entry_points(group="dask_cli", name="hrrr")
    assert (script.value, plugin.load()) == ("hrrr_dask.cli:main", cli)
    code = "from hrrr_dask.cli.commands import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "status"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: hrrr-dask status" in done.stderr


def test_dask_has_the_same_commands_under_hrrr():
    (entry_point,) = (ep for ep in entry_points(group="dask_cli") if ep.value.startswith("hrrr_dask."))
    command = entry_point.load()
    assert (command, command.name) == (cli, "hrrr")  # dask goes by the command's own name


def test_a_deadline_without_a_wait_is_refused(calls):
    result = run("update", "--store", "s.zarr", "--deadline", "50min")
    assert result.exit_code == 2
    assert "--deadline limits the wait of --until-complete: add that, or leave --deadline out" in result.stderr
    assert calls == []
