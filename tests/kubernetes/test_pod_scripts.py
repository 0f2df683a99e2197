"""Scripts of ``cluster/``: waiting for a cluster, logs, exit codes, signals and health checks."""

from __future__ import annotations

import dataclasses
import http.server
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT

import hrrr_dask
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.errors import ConfigError, RunError
from hrrr_dask.telemetry.log_progress import LogProgress

CLUSTER = ROOT / "cluster"


@pytest.fixture
def script(monkeypatch):
    """Import a script with its directory on the path, as when it runs."""
    monkeypatch.syspath_prepend(str(CLUSTER))
    before = signal.getsignal(signal.SIGTERM)
    yield importlib.import_module
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def report():
    made = hrrr_dask.Report(**dict.fromkeys(hrrr_dask.Report.__dataclass_fields__, 0))
    return dataclasses.replace(made, gaps={})


def test_settings_are_parsed_to_numbers_or_text(script):
    given = script("pods").parse_settings(
        ["partition_days=7", "dollars_per_core_hour=0.05", "lead_hours=0-36", "method=nearest"]
    )
    assert given == {
        "partition_days": 7,
        "dollars_per_core_hour": 0.05,
        "lead_hours": "0-36",
        "method": "nearest",
    }
    assert resolve_settings(**given)["partition-days"] == 7


def test_the_report_is_json_and_gaps_fail_unless_allowed(script, capsys, report):
    run_and_report = script("pods").run_and_report
    with_gaps = dataclasses.replace(report, gaps={"not-published": 2})
    interrupted = dataclasses.replace(report, interrupted=True)
    for made, code, code_for_pods in ((report, 0, 0), (with_gaps, 3, 0), (interrupted, 1, 1)):
        assert run_and_report(lambda made=made: made, gaps_are_done=False) == code
        assert run_and_report(lambda made=made: made, gaps_are_done=True) == code_for_pods
        printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert printed == [{"outcome": made.outcome, **dataclasses.asdict(made)}] * 2


def test_an_error_is_one_line_with_its_exit_code(script, capsys):
    def fail():
        raise ConfigError("no such thing")

    assert script("pods").run_and_report(fail, gaps_are_done=True) == 2
    out, err = capsys.readouterr()
    (event,) = map(json.loads, err.splitlines())
    assert (out, event["level"], event["event"], event["code"]) == ("", "error", "no such thing", ConfigError.code)


def test_sigterm_stops_a_script_before_it_reads(script, capsys):
    def wait():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(30)
        raise AssertionError("the signal was ignored")

    assert script("pods").run_and_report(wait, gaps_are_done=True) == 1
    assert "run the same command again" in capsys.readouterr().err


class FakeClient:
    """Connects at the third attempt; has one worker."""

    calls = 0

    def __init__(self, address, timeout):
        FakeClient.calls += 1
        if FakeClient.calls < 3:
            raise OSError("not known")
        self.closed = False

    def wait_for_workers(self, n_workers, timeout):
        if n_workers > 1:
            raise TimeoutError

    def scheduler_info(self, n_workers):
        return {"workers": {"one": {}}}

    def close(self):
        self.closed = True


def test_the_script_waits_for_scheduler_and_workers_up_to_a_timeout(script, monkeypatch):
    backfill = script("backfill")
    monkeypatch.setattr(backfill, "Client", FakeClient)
    monkeypatch.setattr(backfill.time, "sleep", lambda _: None)
    monkeypatch.setattr(FakeClient, "calls", 0)
    backfill._connect("tcp://later:8786", 1, wait_s=300)
    assert FakeClient.calls == 3
    with pytest.raises(RunError, match="2 workers are needed to start, 1 have joined after 300 s"):
        backfill._connect("tcp://later:8786", 2, wait_s=300)
    monkeypatch.setattr(FakeClient, "calls", -1000)
    with pytest.raises(RunError, match="no Dask scheduler responds at tcp://never:8786 after 0 s"):
        backfill._connect("tcp://never:8786", 1, wait_s=0)


@pytest.mark.parametrize("more", [[], ["--until-complete"]])
def test_update_passes_its_options_on(script, monkeypatch, report, more):
    seen = {}

    def update(store, **given):
        seen.update(given, store=store)
        return report

    monkeypatch.setattr(hrrr_dask, "update", update)
    monkeypatch.setattr(sys, "argv", ["update.py", "s3://b/x.zarr", "--workers=2", "--setting=deadline=9min", *more])
    assert script("update").main() == report.exit_code
    show = seen.pop("progress")
    assert seen == {"store": "s3://b/x.zarr", "workers": 2, "deadline": "9min", "until_complete": bool(more)}
    assert isinstance(show, LogProgress)


def test_watch_passes_its_options_on(script, monkeypatch, report):
    seen = {}

    def watch(store, queue, **given):
        seen.update(given, store=store, queue=queue)
        return report

    monkeypatch.setattr(hrrr_dask, "watch", watch)
    monkeypatch.setattr(sys, "argv", ["watch.py", "s3://b/x.zarr", "https://q", "--sweep=0", "--setting=engine=numba"])
    assert script("watch").main() == report.exit_code
    show = seen.pop("progress")
    expected = {"store": "s3://b/x.zarr", "queue": "https://q", "workers": 1, "engine": "numba"}
    assert seen == expected | {"batch_wait": "60s", "sweep": "0"}
    assert isinstance(show, LogProgress)


@pytest.fixture
def page():
    """Port of a server that serves /health only."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_the_health_check_requests_the_page_of_a_scheduler_or_worker_only(script, page, monkeypatch, tmp_path):
    health, cmdline = script("health"), tmp_path / "cmdline"
    cmdline.write_bytes(b"python\0dask\0worker\0--name\0x\0")
    monkeypatch.setitem(health.PORTS, "worker", page)
    assert health.main(cmdline) == 0
    monkeypatch.setitem(health.PORTS, "worker", 1)
    assert health.main(cmdline) == 1
    cmdline.write_bytes(b"python\0/opt/hrrr/backfill.py\0")
    assert health.main(cmdline) == 0


def test_the_entrypoint_selects_the_kernels_of_the_processor():
    def selected(**given):
        command = [CLUSTER / "entrypoint.sh", "sh", "-c", 'echo "$NUMBA_CPU_NAME|${NUMBA_CPU_FEATURES-unset}"']
        environment = {"PATH": os.environ["PATH"], **given}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    flags = set(Path("/proc/cpuinfo").read_text().split())
    wanted = "x86-64-v4|" if "avx512vl" in flags else "x86-64-v3|" if "avx2" in flags else "|unset"
    assert selected() == wanted
    assert selected(NUMBA_CPU_NAME="generic") == "generic|unset", "an explicit setting wins"


def started(*command: str, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([CLUSTER / "entrypoint.sh", *command], text=True, stdout=subprocess.PIPE, **streams)


def test_the_entrypoint_passes_on_stdin_and_the_exit_code():
    with started("sh", "-c", "cat; exit 7", stdin=subprocess.PIPE) as process:
        assert process.communicate("words", timeout=30)[0] == "words"
    assert process.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_entrypoint_passes_a_signal_on_and_waits_for_the_command(number):
    slowly = "trap 'sleep 0.5; echo done; exit 5' TERM; echo ready; while :; do sleep 0.1; done"
    for command, code in (
        (("sh", "-c", slowly), 5),
        ((sys.executable, "-c", "print('ready', flush=True); input()"), 143),
    ):
        with started(*command, stdin=subprocess.PIPE) as process:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            assert process.wait(30) == code
            assert process.stdout.read() == ("done\n" if code == 5 else "")
