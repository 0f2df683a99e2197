"""What Sentry receives of a fault of our own: one event with the place, and no secret and no value; and what happens
without Sentry."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster
from support import needs
from support.jobs import fake_extract, make_job, make_readings, write_locally
from support.paths import ROOT, pythonpath_for
from support.scripts import load_script
from support.secrets import MARK
from support.sinks import HttpSink

import hrrr_dask
from hrrr_dask import api
from hrrr_dask.cli import cli
from hrrr_dask.display.progress import Progress
from hrrr_dask.errors import StoreAccessError
from hrrr_dask.events.queue import Queue
from hrrr_dask.job import pipeline, tasks
from hrrr_dask.job.loop import run
from hrrr_dask.job.tasks import Stages
from hrrr_dask.records import Partition
from hrrr_dask.tables.day_files import write_day_files
from hrrr_dask.telemetry import faults
from hrrr_dask.telemetry.faults import DSN_VARIABLE, MAX_TEXT, MOST_EVENTS, MOST_FRAMES

sentry_sdk = needs.extra("sentry_sdk")

CLUSTER = ROOT / "cluster"
KEY = f"{MARK}key"
IN_ENVIRONMENT = f"{MARK}-in-the-environment"
ACCESS_KEY = "AKIA" + "HUNTER2HUNTER2HU"
SECRETS = f"https://me:{MARK}@example.org/x?sig={MARK} {IN_ENVIRONMENT} {ACCESS_KEY} password={MARK} http://{KEY}@h/1"
FIELD = np.array([287.25, 286.5, np.nan])
VALUES = f"{FIELD} {FIELD.tolist()} {FIELD.tobytes()!r} {FIELD[0]} {FIELD[1]}K -2.8650e+02"
FAULTY = "20240101T01-f04"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("SENTRY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", IN_ENVIRONMENT)
    monkeypatch.setattr(faults, "_reporters", {})


@pytest.fixture
def sink(monkeypatch):
    """A server that takes events, named by the environment."""
    with HttpSink(answer=b"{}") as server:
        monkeypatch.setenv(DSN_VARIABLE, dsn_of(server))
        yield server


def dsn_of(server):
    return f"http://{KEY}@{server.address}/42"


def events_of(sink):
    """Events that arrived, one at least, without a secret and a value in what was sent."""
    found, until = [], time.monotonic() + 10
    while not sink.received and time.monotonic() < until:
        time.sleep(0.02)
    for request in sink.received:
        assert request.path == "/api/42/envelope/"
        body = gzip.decompress(request.body) if request.headers.get("Content-Encoding") == "gzip" else request.body
        for piece in (MARK, ACCESS_KEY, "287.2", "286.5", "2.8650", "\\x", "HUNTER"):
            assert piece not in body.decode(), f"{piece} in {body.decode()}"
        _, *items = body.decode().splitlines()
        found += [json.loads(payload) for payload in items[1::2]]
    return found


def frames_of(event, number=-1):
    return event["exception"]["values"][number]["stacktrace"]["frames"]


def fail(text="it broke"):
    local_secret = f"{MARK}-local"
    raise KeyError(text) from ValueError(f"{len(local_secret)} characters, {text}")


def failure(make=fail, *given):
    """An exception with a traceback."""
    try:
        make(*given)
    except Exception as error:  # noqa: BLE001  any
        return error


# Stages: importable by name, as workers want them


def read_with_a_bug(reading, job):
    local_secret, values = f"{MARK}-local", FIELD
    if reading.file.label != FAULTY:
        return fake_extract(reading)
    try:
        return pipeline.extract_file(reading, None)
    except AttributeError as error:
        raise TypeError(f"{len(local_secret)} {values.shape} {SECRETS} {VALUES}") from error


def read_wrongly(reading, job):
    return pipeline.extract_file(reading, None)


def write_wrongly(*_):
    raise ZeroDivisionError("of the write")


def read_and_crash(reading, job):
    os._exit(139)


# Commands and workers


FAULTY_COMMAND = f"""
import sys, types
from hrrr_dask import cli
def update(store, **_):
    local_secret, values = "{MARK}-local", [287.25]
    from hrrr_dask.catalog.variables import parse_variables
    parse_variables([287.25])
sys.modules["hrrr_dask.api"] = types.SimpleNamespace(update=update)  # without Dask, which takes long to import
sys.argv = ["hrrr-dask", "update", "--store", "x.zarr", "--source-option", "endpoint=http://127.0.0.1:9/{MARK}"]
cli.main()
"""


def run_faulty_command(**environment):
    """Run a command with a bug, which tells whether it has loaded the SDK."""
    show = "import atexit, sys; atexit.register(lambda: print('sdk:', 'sentry_sdk' in sys.modules))\n"
    known = {name: value for name, value in os.environ.items() if name != DSN_VARIABLE}
    return subprocess.run(
        [sys.executable, "-c", show + FAULTY_COMMAND],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=known | environment,
    )


def test_an_uncaught_error_of_a_command_is_sent_and_printed_with_its_traceback(sink):
    done = run_faulty_command(SENTRY_DSN=dsn_of(sink), SENTRY_ENVIRONMENT="staging")
    assert done.returncode == 1
    first, _, rest = done.stderr.partition("\n")
    assert first.startswith("error: ")
    assert f"is a fault of hrrr_dask {hrrr_dask.__version__}, not of your request: please report it" in first
    assert rest.startswith("Traceback")
    (event,) = events_of(sink)
    assert event["release"] == f"hrrr-dask@{hrrr_dask.__version__}"
    assert event["environment"] == "staging"
    assert event["tags"] == {"stage": "command", "command": "update"}
    modules = [frame["module"] for frame in frames_of(event)]
    assert {"hrrr_dask.cli.group", "hrrr_dask.cli.commands", "hrrr_dask.catalog.variables"} <= set(modules)
    inner = [frame for frame in frames_of(event) if frame["in_app"]][-1]
    assert (inner["filename"], inner["lineno"] > 0) == (f"{inner['module'].replace('.', '/')}.py", True)
    assert inner["module"].startswith("hrrr_dask.catalog.")
    assert {"vars", "abs_path", "context_line"}.isdisjoint(key for frame in frames_of(event) for key in frame)
    assert {"request", "user", "breadcrumbs", "modules", "extra", "threads"}.isdisjoint(event)


@pytest.mark.parametrize("environment", [{}, {"SENTRY_DSN": " "}])
def test_without_the_variable_a_command_ends_the_same_and_does_not_load_the_sdk(environment):
    done = run_faulty_command(**environment)
    assert (done.returncode, done.stdout.strip()) == (1, "sdk: False")
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(
    "dsn", [KEY, "https://example.org/1", f"http://{KEY}@h:99999/1", f"http://{KEY}@h/x", "http://["]
)
def test_a_malformed_address_is_one_warning_that_does_not_repeat_it(monkeypatch, dsn):
    monkeypatch.setenv(DSN_VARIABLE, dsn)
    done = CliRunner().invoke(cli, ["check", "--store", "nowhere.zarr"])
    assert done.exit_code == 2
    warning, error = done.stderr.splitlines()
    assert warning.startswith("warning: SENTRY_DSN is not the address of a project of Sentry")
    assert error.startswith("error: ")
    assert dsn not in done.output
    faults.report(failure(), stage="read")
    assert faults.prepare() == "", "one warning"


def test_without_the_sdk_one_warning_names_the_extra(monkeypatch, sink):
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    done = CliRunner().invoke(cli, ["check", "--store", "nowhere.zarr"])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0].endswith('pip install "hrrr-dask[sentry]"')
    faults.report(failure(), stage="read")
    assert sink.received == []


def test_a_server_that_is_not_there_changes_nothing():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://{KEY}@127.0.0.1:{closed.getsockname()[1]}/42"
    alone, done = run_faulty_command(), run_faulty_command(SENTRY_DSN=address)
    assert (done.returncode, done.stderr) == (alone.returncode, alone.stderr)
    assert (alone.stdout.strip(), done.stdout.strip()) == ("sdk: False", "sdk: True")


def test_a_server_that_never_responds_is_not_waited_for():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and reads nothing
        began = time.monotonic()
        done = run_faulty_command(SENTRY_DSN=f"http://{KEY}@127.0.0.1:{silent.getsockname()[1]}/42")
        assert done.returncode == 1
        assert time.monotonic() - began < 25, "the SDK would wait for 30 s"


@pytest.mark.parametrize("status", [400, 429, 500])
def test_a_server_that_refuses_changes_nothing(sink, status):
    sink.status = status
    done = CliRunner().invoke(cli, ["check", "--store", "nowhere.zarr"])
    faults.report(failure(), stage="read")
    faults.flush(10)
    assert (done.exit_code, len(sink.received)) == (2, 1)


def test_errors_that_say_what_to_do_are_not_sent(sink, monkeypatch):
    for error in (StoreAccessError("the disk is full"), KeyboardInterrupt()):
        monkeypatch.setattr(api, "update", lambda *_, error=error, **__: fail_with(error))
        assert CliRunner().invoke(cli, ["update", "--store", "x.zarr"]).exit_code == 1
    assert CliRunner().invoke(cli, ["update"]).exit_code == 2
    assert CliRunner().invoke(cli, ["--version"]).exit_code == 0
    faults.flush(10)
    assert sink.received == []


def fail_with(error):
    raise error


def test_with_json_a_fault_is_a_document_too(monkeypatch):
    monkeypatch.setattr(api, "update", lambda *_, **__: fail())
    done = CliRunner().invoke(cli, ["update", "--store", "x.zarr", "--json"])
    assert isinstance(done.exception, KeyError)
    assert json.loads(done.stdout)["error"]["code"] == "internal-error"


def test_a_bug_on_one_file_is_sent_by_its_worker_with_job_file_and_version(sink, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", pythonpath_for(__file__))
    job = make_job(6, "the-job")
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        result = run(
            client,
            job,
            iter([Partition(0, make_readings(2))]),
            Progress(12),
            lambda _: None,
            Stages(read_with_a_bug, write_locally),
        )
    assert result.reports[0].gaps == {FAULTY: 1}
    (event,) = events_of(sink)
    assert event["release"] == f"hrrr-dask@{hrrr_dask.__version__}"
    assert event["tags"] == {
        "stage": "read",
        "job": "the-job",
        "store": "",
        "engine": "eccodes",
        "file": FAULTY,
        "product": "sfc",
        "domain": "conus",
    }
    cause, error = event["exception"]["values"]
    assert (cause["type"], error["type"]) == ("AttributeError", "TypeError")
    assert cause["value"].startswith("'NoneType' object has no attribute")
    assert "(3,)" in error["value"], "a shape is no value"
    assert [(frame["module"], frame["function"]) for frame in frames_of(event, 0)][-1][0].startswith("hrrr_dask.")
    assert {"hrrr_dask.job.tasks"} == {frame["module"] for frame in frames_of(event) if frame["in_app"]}


def test_what_a_worker_has_not_sent_yet_is_sent_as_it_ends(sink, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", pythonpath_for(__file__))
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        client.submit(report_slowly).result()
    assert len(events_of(sink)) == 1


def report_slowly():
    """Report a fault that is still to be sent when the process ends."""
    send = sentry_sdk.HttpTransport._send_request
    sentry_sdk.HttpTransport._send_request = lambda *given, **more: (time.sleep(1), send(*given, **more))
    faults.report(failure(), stage="read")


def test_a_file_that_crashes_its_process_is_sent_as_a_message(sink, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", pythonpath_for(__file__))
    monkeypatch.setattr(tasks, "get_worker", lambda: None)
    monkeypatch.setattr(tasks, "_memory_left", lambda _: 0)
    (reading,) = make_readings(1, leads=1)
    work = tasks.Work.of(make_job(1, "the-job"), Stages(read_and_crash, write_locally))
    (extract,) = tasks._run_in_child(reading, work.job, work.pickled_stages)
    assert set(extract.outcome.reasons.values()) == {"poisoned"}
    faults.flush(10)
    (event,) = events_of(sink)
    assert "crashes its process with code 139" in event["message"]
    assert event["tags"]["file"] == reading.file.label


def test_a_failing_write_is_sent_and_raised(sink):
    work = tasks.Work.of(make_job(1, "the-job"), Stages(fake_extract, write_wrongly))
    with pytest.raises(ZeroDivisionError):
        tasks.write_step(Partition(0, make_readings(1)), [], work, 1)
    faults.flush(10)
    (event,) = events_of(sink)
    assert (event["tags"]["stage"], event["tags"]["job"]) == ("write", "the-job")
    assert event["exception"]["values"][0]["value"] == "of the write"
    assert "hrrr_dask.job.tasks" in {frame["module"] for frame in frames_of(event)}


def test_the_scripts_of_the_pods_report_bugs_and_warn(sink, monkeypatch, capsys):
    run_and_report = load_script(CLUSTER / "pods.py").run_and_report
    monkeypatch.setattr(sys, "argv", ["/opt/hrrr/update.py"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(KeyError):
        run_and_report(fail, gaps_are_done=True)
    faults.flush(10)
    (event,) = events_of(sink)
    assert event["tags"] == {"stage": "command", "command": "update.py"}
    monkeypatch.setattr(faults, "_reporters", {})
    monkeypatch.setenv(DSN_VARIABLE, KEY)
    assert run_and_report(lambda: fail_with(StoreAccessError("full")), gaps_are_done=True) == 1
    warning, error = map(json.loads, capsys.readouterr().err.splitlines())
    assert warning["event"].startswith("SENTRY_DSN is not the address")
    assert (warning["level"], error["event"]) == ("warning", "full")


@pytest.mark.parametrize(
    ("stage", "call"),
    [
        ("export", lambda: write_day_files(None, [], "", {})),
        ("watch", lambda: Queue._extend(None, threading.Event())),  # of a thread, which would end without a word
    ],
)
def test_bugs_elsewhere_are_sent_and_raised(sink, stage, call):
    with pytest.raises(AttributeError):
        call()
    faults.flush(10)
    (event,) = events_of(sink)
    assert event["tags"] == {"stage": stage}


# Events


def test_a_thousand_equal_faults_are_one_event(sink):
    job = make_job(1, "the-job")
    for reading in make_readings(1) * 170:
        (extract,) = tasks._extract(read_wrongly, reading, job)
        assert set(extract.outcome.reasons.values()) == {"internal-error"}
    faults.flush(10)
    (event,) = events_of(sink)
    assert event["fingerprint"][0] == "AttributeError"
    assert event["fingerprint"][1].startswith("hrrr_dask.")


def test_a_process_sends_a_bounded_number_of_events(sink):
    for number in range(3 * MOST_EVENTS):
        faults.report(failure(fail_with, type(f"Error{number}", (Exception,), {})()), stage="read")
    faults.flush(10)
    assert len(events_of(sink)) == MOST_EVENTS


def test_threads_that_fail_at_once_send_one_event(sink):
    threads = [threading.Thread(target=faults.report, args=(failure(),), kwargs={"stage": "read"}) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    faults.flush(10)
    assert len(events_of(sink)) == 1


def test_secrets_and_values_are_removed_from_texts_and_tags(sink):
    faults.report(failure(fail, f"{SECRETS} {VALUES}"), stage="read", store=f"s3://me:{MARK}@b/x?sig={MARK}", file=None)
    faults.report_message(f"{SECRETS} {VALUES}", kind="poisoned", stage="read", job=IN_ENVIRONMENT)
    faults.flush(10)
    event, message = events_of(sink)
    assert event["tags"] == {"stage": "read", "store": "s3://…@b/x?…"}
    assert message["tags"] == {"stage": "read", "job": "…"}
    assert message["message"].startswith("https://…@example.org/x?… … … password=… http://…")


def test_what_helps_to_find_a_fault_is_kept(sink):
    text = "cannot broadcast (3, 24) to (5,) at 20240101T06-f05, code 139, 10.0.0.1:8786, numpy 2.4.6, /data/x.zarr"
    faults.report_message(text, kind="any", stage="read")
    faults.flush(10)
    assert events_of(sink)[0]["message"] == text


def test_an_endless_recursion_and_a_long_text_are_cut(sink):
    def descend(level):
        if level == 0:
            raise RecursionError("word " * 5000)
        descend(level - 1)

    faults.report(failure(descend, 500), stage="read")
    faults.flush(10)
    (event,) = events_of(sink)
    assert len(frames_of(event)) == MOST_FRAMES
    assert frames_of(event)[0]["function"] == "failure"
    assert len(event["exception"]["values"][0]["value"]) == MAX_TEXT


@pytest.mark.parametrize("end", ["", "]", "x"])
def test_a_text_that_holds_a_whole_array_is_cut_without_its_values_and_half_secrets(sink, end):
    half = f"{'12 ' * 6658}https://{MARK}{'y' * 50}:pw@h/"
    for kind, text in (("long", "12 " * 1_000_000), ("half", half)):
        faults.report_message(f"codes [{text}{end}", kind=kind, stage="read")
    faults.flush(10)
    assert {event["message"][:9] for event in events_of(sink)} == {"codes […]"}


def test_an_exception_that_has_no_text_is_sent(sink):
    class BrokenError(Exception):
        def __str__(self):
            raise ValueError("even this")

    faults.report(failure(fail_with, BrokenError()), stage="read")
    faults.flush(10)
    assert events_of(sink)[0]["exception"]["values"][0]["type"].endswith("BrokenError")


def test_what_goes_wrong_with_a_report_is_not_raised(sink, monkeypatch):
    class Unprintable:
        def __str__(self):
            raise ValueError("even this")

    faults.report(failure(), stage="read", file=Unprintable())
    faults.report_message("text", kind="any", stage="read", file=Unprintable())
    monkeypatch.setattr(sentry_sdk.Client, "capture_event", lambda *_: fail())
    faults.report(failure(fail_with, ValueError()), stage="read")
    monkeypatch.setattr(sentry_sdk.Client, "flush", lambda *_, **__: fail())
    faults.flush(10)
    assert sink.received == []


def test_an_application_that_uses_sentry_itself_is_neither_read_nor_changed(sink, monkeypatch):
    with HttpSink(answer=b"{}") as other:
        monkeypatch.setattr(sentry_sdk.Scope.get_global_scope(), "client", sentry_sdk.Scope.get_global_scope().client)
        sentry_sdk.Scope.get_global_scope().set_client(
            sentry_sdk.Client(f"http://theirs@{other.address}/7", default_integrations=False)
        )
        sentry_sdk.set_tag("theirs", f"{MARK}-theirs")
        sentry_sdk.add_breadcrumb(message=MARK)
        faults.report(failure(), stage="read")
        faults.flush(10)
        sentry_sdk.flush()
        assert (len(events_of(sink)), other.received) == (1, [])
        assert sentry_sdk.Scope.get_client().dsn == f"http://theirs@{other.address}/7"


def test_a_forked_process_has_a_connection_of_its_own(sink):
    code = (
        "import os, sys\n"
        "from hrrr_dask.telemetry import faults\n"
        "def report():\n"
        "    faults.report_message(f'in process {os.getpid()}', kind='any', stage='read'); faults.flush()\n"
        "report()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    report(); os._exit(0)\n"
        "sys.exit(os.waitpid(child, 0)[1])\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
    assert len({event["message"] for event in events_of(sink)}) == 2
