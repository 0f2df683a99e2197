"""What the scripts of ``cluster/`` do beyond calling the package: wait, say how far they are, end as pods should."""

from __future__ import annotations

import dataclasses
import http.server
import importlib
import io
import json
import os
import re
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
from hrrr_dask.job.loop import Progress

CLUSTER = ROOT / "cluster"


@pytest.fixture
def script(monkeypatch):
    """Import one of them as it is when it runs: with its directory on the path."""
    monkeypatch.syspath_prepend(str(CLUSTER))
    before = signal.getsignal(signal.SIGTERM)
    yield importlib.import_module
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def report():
    made = hrrr_dask.Report(**dict.fromkeys(hrrr_dask.Report.__dataclass_fields__, 0))
    return dataclasses.replace(made, gaps={})


def test_lines_come_now_and_then_and_when_workers_go_or_the_end_begins(script):
    out = io.StringIO()
    lines = script("pods").LogLines(out, every_s=1000)
    progress = Progress(files_total=166_440)
    for _ in range(3):
        progress.files_done += 1234
        lines(progress)
    assert re.match(r"1,234 of 166,440 files, \d+\.\d files/s, 0\.00 GB in 0 s$", out.getvalue().strip())
    progress.waiting = True
    lines(progress)
    progress.waiting, progress.draining, progress.gaps = False, True, 7
    lines(progress)
    _, gone, end = out.getvalue().splitlines()
    assert gone.startswith("no workers; 3,702 of")
    assert end.startswith("committing what is read; 3,702 of 166,440 files, 7 values missing, ")


def test_settings_of_numbers_are_numbers(script):
    given = script("pods").settings(
        ["partition_days=7", "dollars_per_core_hour=0.05", "lead_hours=0-36", "method=nearest"]
    )
    assert given == {
        "partition_days": 7,
        "dollars_per_core_hour": 0.05,
        "lead_hours": "0-36",
        "method": "nearest",
    }
    assert resolve_settings(**given)["partition-days"] == 7


def test_the_answer_is_json_and_gaps_are_a_failure_unless_they_are_not(script, capsys, report):
    answer = script("pods").answer
    with_gaps = dataclasses.replace(report, gaps={"not-published": 2})
    interrupted = dataclasses.replace(report, interrupted=True)
    for made, code, code_for_pods in ((report, 0, 0), (with_gaps, 3, 0), (interrupted, 1, 1)):
        assert answer(lambda made=made: made, gaps_are_done=False) == code
        assert answer(lambda made=made: made, gaps_are_done=True) == code_for_pods
        said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert said == [{"outcome": made.outcome, **dataclasses.asdict(made)}] * 2


def test_errors_are_one_line_and_their_exit_code(script, capsys):
    def fail():
        raise ConfigError("no such thing")

    assert script("pods").answer(fail, gaps_are_done=True) == 2
    assert capsys.readouterr() == ("", "error: no such thing\n")


def test_a_pod_that_is_told_to_end_before_it_reads_ends(script, capsys):
    def wait():
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(30)
        raise AssertionError("the signal was ignored")

    assert script("pods").answer(wait, gaps_are_done=True) == 1
    assert "the same command again" in capsys.readouterr().err


class FakeClient:
    """Answers at the third call; has one worker."""

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


def test_the_script_waits_for_a_scheduler_that_comes_later_but_not_for_ever(script, monkeypatch):
    backfill = script("backfill")
    monkeypatch.setattr(backfill, "Client", FakeClient)
    monkeypatch.setattr(backfill.time, "sleep", lambda _: None)
    monkeypatch.setattr(FakeClient, "calls", 0)
    backfill._connect("tcp://later:8786", 1, wait_s=300)
    assert FakeClient.calls == 3
    with pytest.raises(RunError, match="2 workers are wanted to begin with, 1 are there after 300 s"):
        backfill._connect("tcp://later:8786", 2, wait_s=300)
    monkeypatch.setattr(FakeClient, "calls", -1000)
    with pytest.raises(RunError, match="no Dask scheduler answers at tcp://never:8786 after 0 s"):
        backfill._connect("tcp://never:8786", 1, wait_s=0)


def test_update_is_the_packages_with_what_the_command_says(script, monkeypatch, report):
    seen = {}

    def update(store, **given):
        seen.update(given, store=store)
        return report

    monkeypatch.setattr(hrrr_dask, "update", update)
    monkeypatch.setattr(sys, "argv", ["update.py", "s3://b/x.zarr", "--workers=2", "--setting=source=google"])
    assert script("update").main() == report.exit_code
    show = seen.pop("show")
    assert seen == {"store": "s3://b/x.zarr", "workers": 2, "source": "google"}
    assert isinstance(show, script("pods").LogLines)


@pytest.fixture
def page():
    """A port at which /health answers and nothing else does."""

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


def test_health_asks_the_scheduler_or_worker_that_runs_and_nobody_else(script, page, monkeypatch, tmp_path):
    health, cmdline = script("health"), tmp_path / "cmdline"
    cmdline.write_bytes(b"python\0dask\0worker\0--name\0x\0")
    monkeypatch.setitem(health.PORTS, "worker", page)
    assert health.main(cmdline) == 0
    monkeypatch.setitem(health.PORTS, "worker", 1)
    assert health.main(cmdline) == 1
    cmdline.write_bytes(b"python\0/opt/hrrr/backfill.py\0")
    assert health.main(cmdline) == 0


def test_the_image_says_which_kernels_fit_and_becomes_the_command():
    def ask(**given):
        command = [CLUSTER / "entrypoint.sh", "sh", "-c", 'echo "$NUMBA_CPU_NAME|${NUMBA_CPU_FEATURES-unset}"']
        environment = {"PATH": os.environ["PATH"], **given}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    flags = set(Path("/proc/cpuinfo").read_text().split())
    wanted = "x86-64-v4|" if "avx512vl" in flags else "x86-64-v3|" if "avx2" in flags else "|unset"
    assert ask() == wanted
    assert ask(NUMBA_CPU_NAME="generic") == "generic|unset", "who names one knows better"


def started(*command: str, **streams: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([CLUSTER / "entrypoint.sh", *command], text=True, stdout=subprocess.PIPE, **streams)


def test_the_images_first_process_gives_the_commands_exit_code_and_what_it_was_given_to_read():
    with started("sh", "-c", "cat; exit 7", stdin=subprocess.PIPE) as process:
        assert process.communicate("words", timeout=30)[0] == "words"
    assert process.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_command_which_ends_in_its_own_time(number):
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
