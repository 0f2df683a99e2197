"""Logs: events with fields and their context, as JSON or for people, from workers too, without a secret."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import subprocess
import sys
import warnings
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pytest
from support.oracle import CLI, run_cli, write_points
from support.specs import make_spec

from hrrr_dask.cli import cli
from hrrr_dask.display.progress import Progress
from hrrr_dask.errors import ConfigError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.records import GribFile, Reading
from hrrr_dask.telemetry import log_progress, logs
from hrrr_dask.testing import GridWindow, delete, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
POINTS = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()


@pytest.fixture(autouse=True)
def _reset(monkeypatch):
    for name in (logs.FORMAT_VARIABLE, logs.LEVEL_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    yield
    logs.reset_logs()


@pytest.fixture
def written():
    """A function that configures logs and returns another, which returns what was written since as objects."""
    stream = io.StringIO()

    def configure(kind="json", level="info"):
        logs.configure_logs(kind, level, stream=stream)

        def events():
            text = stream.getvalue()
            stream.seek(0)
            stream.truncate()
            return [json.loads(line) for line in text.splitlines()] if kind == "json" else text

        return events

    return configure


def test_an_event_is_one_json_object_with_its_context(written):
    events, log = written(), logs.get_log("hrrr_dask.somewhere")
    with logs.context(job="a1", partition=3):
        with logs.context(file="20240102T12-f18", partition=np.int64(4)):
            log.warning("two\nlines", source="aws", seconds=0.25, gaps={"truncated": 2}, first=("x", True, math.nan))
        log.info("outside the file")
    log.info("outside")
    first, second, third = events()
    assert [*first][:8] == ["timestamp", "level", "event", "job", "partition", "file", "source", "seconds"]
    assert first["timestamp"].endswith("Z")
    assert (first["level"], first["logger"], first["event"]) == ("warning", "hrrr_dask.somewhere", "two\nlines")
    assert (first["job"], first["partition"], first["file"]) == ("a1", 4, "20240102T12-f18")
    assert (first["gaps"], first["first"]) == ({"truncated": 2}, ["x", True, "nan"])
    assert (second["partition"], "file" in second, "job" in third) == (3, False, False)


def test_an_exception_has_its_traceback_and_no_values(written):
    events = written()
    hidden = "hunter2"
    try:
        raise ValueError(len(hidden))
    except ValueError:
        logs.get_log().error("failed", exc_info=True)
    (event,) = events()
    assert "ValueError: 7" in event["exception"]
    assert "raise ValueError(len(hidden))" in event["exception"]
    assert "hunter2" not in json.dumps(event)


@pytest.mark.parametrize("kind", logs.FORMATS)
def test_no_secret_is_written(kind, written, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", 'hun"ter\\22')
    events = written(kind)
    logs.get_log().warning(
        "at https://me:pass1word@host/x?sig=pass2word", key='hun"ter\\22', urls=["s3://a:pass3word@b"]
    )
    logging.getLogger("botocore").warning('key hun"ter\\22')
    text = json.dumps(events())
    assert "https://\\u2026@host/x?\\u2026" in text
    assert not any(secret in text for secret in ("pass1word", "pass2word", "pass3word", "ter\\"))


def test_a_secret_is_removed_from_its_own_field_however_many_lines_there_are(written):
    events = written()
    key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----"
    logs.get_log().warning("two\nlines", a=key, b="s3://me:hunter2@bucket", c="three")
    (event,) = events()
    assert (event["event"], event["a"], event["b"], event["c"]) == ("two\nlines", "…", "s3://…@bucket", "three")


def test_lines_for_people_name_level_logger_and_fields(written):
    events = written("console")
    with logs.context(job="a1"):
        logs.get_log("hrrr_dask.x").info("file read", seconds=0.2)
    line = events()
    assert line.split("Z ", 1)[1].split() == ["[info", "]", "file", "read", "[hrrr_dask.x]", "job=a1", "seconds=0.2"]


def test_levels(written):
    log = logs.get_log("hrrr_dask.x")
    events = written(level="warning")
    log.info("no")
    log.error("yes")
    assert [event["event"] for event in events()] == ["yes"]
    assert (log.is_on("info"), log.is_on("warning")) == (False, True)


def test_warnings_and_other_libraries_are_written_dask_only_if_something_is_wrong(written):
    events = written()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", FutureWarning, stacklevel=1)
    logging.getLogger("distributed.worker").info("all is well")
    logging.getLogger("distributed.worker").error("all is %s", "lost")
    assert [(event["logger"], event["level"]) for event in events()] == [
        ("py.warnings", "warning"),
        ("distributed.worker", "error"),
    ]
    events = written(level="debug")
    logging.getLogger("distributed").setLevel("INFO")
    logging.getLogger("distributed.worker").info("all is well")
    assert [event["event"] for event in events()] == ["all is well"]


def test_without_a_configuration_warnings_are_plain_text_and_details_are_silent():
    code = (
        "from hrrr_dask.telemetry.logs import get_log\n"
        "get_log().warning('read this', job='a')\n"
        "get_log().info('not this')\n"
        "get_log('hrrr_dask.archive.breaker').warning('nor this')\n"
        "import sys; assert 'structlog' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "read this\n"


def test_the_handlers_of_a_program_get_the_fields(caplog):
    with caplog.at_level("INFO", "hrrr_dask"), logs.context(job="a1"):
        logs.get_log("hrrr_dask.x").info("file read", file="f")
    (record,) = caplog.records
    assert (record.message, record.job, record.file, record.funcName) == (
        "file read",
        "a1",
        "f",
        "test_the_handlers_of_a_program_get_the_fields",
    )


def test_a_configuration_replaces_the_one_before_and_can_be_undone(written, monkeypatch):
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "console")
    before = logging.getLogger().handlers[:]
    written("json")
    written("json", "debug")
    assert len(logging.getLogger().handlers) == len(before) + 1
    assert (os.environ[logs.FORMAT_VARIABLE], os.environ[logs.LEVEL_VARIABLE]) == ("json", "debug")
    logs.reset_logs()
    assert logging.getLogger().handlers == before
    assert os.environ[logs.FORMAT_VARIABLE] == "console"
    assert logs.LEVEL_VARIABLE not in os.environ
    assert not logs.is_configured()


def test_the_environment_configures_once(monkeypatch, capfd):
    logs.configure_from_environment()
    assert not logs.is_configured()
    monkeypatch.setenv(logs.LEVEL_VARIABLE, "debug")
    logs.configure_from_environment()
    logs.configure_from_environment()
    logs.get_log().debug("seen")
    assert capfd.readouterr().err.count("seen") == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("xml",), "log format is console or json, not 'xml'"),
        (("json", "loud"), "log level is debug or .*not 'loud'"),
    ],
)
def test_another_format_or_level_is_refused(given, says):
    with pytest.raises(ConfigError, match=says):
        logs.configure_logs(*given)


# Progress


def test_progress_is_rare_but_lost_workers_and_the_stop_are_logged_at_once(written):
    events, show = written(), log_progress.LogProgress(interval_s=1000)
    progress = Progress(files_total=166_440, dashboard="http://127.0.0.1:8787/status")
    for _ in range(3):
        progress.files_done += 1234
        show(progress)
    dashboard, first = events()
    assert dashboard["url"] == progress.dashboard
    assert (first["event"], first["files"], first["files_total"], first["gaps"]) == ("reading", 1234, 166_440, 0)
    progress.waiting, progress.notice = True, "no worker is connected"
    show(progress)
    notice, lost = events()
    assert (notice["level"], notice["event"]) == ("warning", "no worker is connected")
    assert (lost["event"], lost["files"]) == ("waiting for the cluster's workers", 3702)
    progress.waiting, progress.notice, progress.gaps = False, "", 7
    progress.interrupted = progress.draining = True
    show(progress)
    again, stop = events()
    assert again["event"] == "the run continues"
    assert (stop["event"], stop["gaps"]) == ("committing what is read", 7)


def test_counts_are_rare(written):
    events = written()
    log_progress.LogCount("days", interval_s=1000)(1, 3)
    assert events() == []
    log_progress.LogCount("days", interval_s=0)(2, 3)
    (event,) = events()
    assert (event["event"], event["done"], event["total"]) == ("days done", 2, 3)


# Workers and commands


def test_a_file_on_which_our_code_fails_is_an_error_with_its_place(written):
    from hrrr_dask.job.tasks import read_file

    events = written()
    spec = make_spec(4)
    job = SimpleNamespace(job_id="a1", spec=spec, store_url="x.zarr", engine="auto")
    file = GribFile(spec.axis.init_time(spec.span + 1), 0)

    def fail(reading, job):
        raise ZeroDivisionError("ours")

    (extract,) = read_file(fail, Reading.of(file, ["temperature_2m"]), job)
    assert extract.outcome.reasons == {"temperature_2m": "internal-error"}
    (event,) = events()
    assert (event["level"], event["job"], event["partition"], event["file"]) == ("error", "a1", 1, file.label)
    assert event["code"] == "internal-error"
    assert event["exception"].endswith("ZeroDivisionError: ours")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Two runs; one file is missing."""
    made = write_archive(
        tmp_path_factory.mktemp("logs"), init_times=[datetime(2024, 7, 1), datetime(2024, 7, 1, 12)],
        lead_hours=range(3), variables=["temperature_2m"], window=WINDOW,
    )  # fmt: skip
    delete(made, made.files[1])
    return made


def backfill(archive, tmp_path, **more):
    environment = {**os.environ, "SOME_TOKEN": "hunter2hunter2"}
    code, report, stderr = run_cli(
        "backfill", points=write_points(tmp_path / "p.csv", POINTS), store=tmp_path / "x.zarr", source=archive.root,
        start="2024-07-01", end="2024-07-01T12", cycles="0,12", lead_hours="0-2", variables="temperature_2m",
        workers=1, threads=2, json=True, environment=environment, **more,
    )  # fmt: skip
    return code, report, stderr


def test_a_command_and_its_workers_write_one_object_a_line(archive, tmp_path):
    code, report, stderr = backfill(archive, tmp_path, log_format="json", log_level="debug")
    assert code == 3
    events = [json.loads(line) for line in stderr.splitlines()]
    own = [event for event in events if event["logger"].startswith("hrrr_dask")]
    read = [event for event in own if event["event"] == "file read"]
    rows = to_dataframe(str(tmp_path / "x.zarr"))
    assert sorted(event["file"] for event in read) == sorted(file.label for file in archive.files)
    assert {event["job"] for event in read} == set(rows.job)
    assert sum(event["bytes_read"] for event in read) == report["bytes_read"]
    assert sum(event["requests"] for event in read) == report["requests"]
    missing = [event["file"] for event in read if event["gaps"]]
    assert missing == [archive.files[1].label]
    (refused,) = [event for event in own if event["event"] == "file is not readable"]
    assert (refused["file"], refused["code"]) == (missing[0], "not-published")
    (commit,) = [event for event in own if event["event"] == "partition committed"]
    assert (commit["files"], commit["gaps"], commit["bytes_written"]) == (
        6,
        {"not-published": 1},
        report["bytes_written"],
    )
    assert {event["partition"] for event in read} == {commit["partition"]}
    assert next(event["event"] for event in own if event["logger"] == "hrrr_dask") == "run started"
    assert own[-1]["event"] == "run ended"
    assert "hunter2hunter2" not in stderr


def test_by_default_the_log_has_no_line_for_each_file(archive, tmp_path):
    code, _, stderr = backfill(archive, tmp_path, log_format="json")
    assert code == 3
    names = [json.loads(line)["event"] for line in stderr.splitlines()]
    assert names[:1] == ["run started"]
    assert names[-2:] == ["partition committed", "run ended"]
    assert "file read" not in names
    assert len(names) < 9


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (["status", "--store", "nowhere.zarr"], 2, "store-mismatch"),
        (["status"], 2, "usage"),
        (["update", "--store", "nowhere.zarr", "--deadline", "1h"], 2, "usage"),
    ],
)
def test_the_failure_of_a_command_is_an_event(arguments, code, name):
    done = subprocess.run([*CLI, *arguments, "--log-format", "json"], capture_output=True, text=True, check=False)
    (event,) = map(json.loads, done.stderr.splitlines())
    assert (done.returncode, event["level"], event["code"]) == (code, "error", name)


def test_every_command_has_the_options_and_their_variables():
    for command in cli.commands.values():
        options = {param.name: param for param in command.params}
        assert options["log_format"].envvar == logs.FORMAT_VARIABLE
        assert options["log_level"].envvar == logs.LEVEL_VARIABLE


def test_a_scheduler_and_a_worker_with_the_preload_write_json(tmp_path):
    code = (
        "import asyncio, logging\n"
        "from distributed import Client, Nanny, Scheduler\n"
        "def say(name):\n"
        "    logging.getLogger(name).warning('something is wrong')\n"
        "async def main():\n"
        "    more = {'preload': 'hrrr_dask.preload', 'preload_argv': []}\n"
        "    async with Scheduler(port=0, dashboard_address=':0', **more) as scheduler:\n"
        "        async with Nanny(scheduler.address, **more), Client(scheduler.address, asynchronous=True) as client:\n"
        "            await client.run(say, 'distributed.worker')\n"
        "            await client.run_on_scheduler(say, 'distributed.scheduler')\n"
        "if __name__ == '__main__':\n"
        "    asyncio.run(main())\n"
    )
    script = tmp_path / "main.py"
    script.write_text(code)
    environment = {
        **os.environ,
        logs.FORMAT_VARIABLE: "json",
        "DASK_LOGGING__DISTRIBUTED": "warning",
    }
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment, check=True)
    events = map(json.loads, done.stderr.splitlines())
    assert {event["logger"] for event in events} == {"distributed.worker", "distributed.scheduler"}
