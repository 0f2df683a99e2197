"""``--metrics``: a file that is replaced at once, or a Pushgateway; also for a command that fails."""

from __future__ import annotations

import base64
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import needs
from support.prometheus import by_label, samples, total
from support.sinks import HttpSink

from hrrr_dask import api
from hrrr_dask.audit import checksums
from hrrr_dask.audit import status as standing
from hrrr_dask.cli.commands import cli
from hrrr_dask.errors import RunError
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.report.differences import VerifyReport
from hrrr_dask.report.results import Report
from hrrr_dask.telemetry import output

needs.extra("prometheus_client")

REPORT = Report(
    store="s.zarr",
    files_wanted=6,
    files_done_before=2,
    files_read=4,
    gaps={"truncated": 3},
    gaps_by_variable={"temperature_2m": 3},
    partitions_written=1,
    bytes_read=100,
    requests=8,
    bytes_written=50,
    seconds=1.5,
    interrupted=False,
    newest_run=datetime(2024, 1, 2, 6),
)
UPDATE = ("update", "--store", "s.zarr")


@pytest.fixture
def updated(monkeypatch):
    """Function that replaces what `hrrr-dask update` calls."""

    def by(function):
        monkeypatch.setattr(api, "update", function)

    by(lambda **_: REPORT)
    return by


def run(*arguments):
    return CliRunner().invoke(cli, arguments)


def test_the_totals_of_a_command_are_those_of_its_report(updated, tmp_path):
    path = tmp_path / "update.prom"
    result = run(*UPDATE, "--metrics", str(path), "--json")
    assert result.exit_code == 3
    text = path.read_text()
    store = {"store": (Path.cwd() / "s.zarr").as_uri(), "command": "update"}
    expected = {"exit_code": 3, "files": 4, "requests": 8, "read_bytes": 100, "written_bytes": 50}
    newest = datetime(2024, 1, 2, 6, tzinfo=UTC).timestamp()
    for name, value in {**expected, "newest_run_timestamp_seconds": newest}.items():
        assert total([text], f"hrrr_dask_command_{name}", **store) == value
    assert by_label([text], "hrrr_dask_command_gaps", "reason") == {"truncated": 3}
    assert total([text], "hrrr_dask_command_gaps", reason="unreachable", **store) == 0
    assert abs(total([text], "hrrr_dask_command_end_timestamp_seconds") - datetime.now(UTC).timestamp()) < 300
    assert {dict(labels)["store"] for _, labels in samples(text)} == {store["store"]}
    assert (path.stat().st_mode & 0o777) == 0o644
    assert [each.name for each in tmp_path.iterdir()] == ["update.prom"]  # no draft is left


@needs.program("promtool")
def test_promtool_accepts_the_file(updated, tmp_path):
    run(*UPDATE, "--metrics", str(tmp_path / "a.prom"))
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=(tmp_path / "a.prom").read_bytes(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_gap_that_was_filled_is_not_left_on_a_gateway():
    assert output.describe(replace(REPORT, gaps={}))["gaps"] == dict.fromkeys(output.REASONS, 0)
    assert set(output.REASONS) < set(OUTCOMES)


def test_a_command_that_fails_says_so(updated, tmp_path):
    def fail(**_):
        raise RunError("the cluster is lost")

    updated(fail)
    path = tmp_path / "update.prom"
    result = run(*UPDATE, "--metrics", str(path))
    assert (result.exit_code, "the cluster is lost" in result.stderr) == (1, True)
    assert total([path.read_text()], "hrrr_dask_command_exit_code") == 1
    assert {name for name, _ in samples(path.read_text())} == {
        f"hrrr_dask_command_{name}" for name in ("exit_code", "end_timestamp_seconds", "duration_seconds")
    }


def test_a_reader_never_sees_half_a_file(updated, tmp_path, monkeypatch):
    path = tmp_path / "update.prom"
    path.write_text("of the last run\n")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    result = run(*UPDATE, "--metrics", str(path))
    assert result.exit_code == 3, "the work is done"
    assert "no metrics at" in result.stderr
    assert "disk full" in result.stderr
    assert path.read_text() == "of the last run\n"
    assert [each.name for each in tmp_path.iterdir()] == ["update.prom"]


def test_compact_and_verify_have_figures_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(standing, "compact", lambda *_, **__: (9, 1))
    run("compact", "--store", "s.zarr", "--metrics", str(tmp_path / "compact.prom"))
    assert total([(tmp_path / "compact.prom").read_text()], "hrrr_dask_command_ledger_objects", command="compact") == 1
    found = VerifyReport("s", 2, 2, None, 10, 8, 0, {"values": 2}, (), 0, (), 0, (), 0, 1.0)
    monkeypatch.setattr(checksums, "verify_checksums", lambda **_: found)
    result = run("verify", "--store", "s.zarr", "--checksums", "--metrics", str(tmp_path / "verify.prom"))
    text = (tmp_path / "verify.prom").read_text()
    assert result.exit_code == 1
    assert total([text], "hrrr_dask_command_exit_code", command="verify") == 1
    assert total([text], "hrrr_dask_command_differences") == 2
    assert total([text], "hrrr_dask_command_files") == 2


def test_metrics_are_pushed_in_a_group_of_command_and_store(updated):
    with HttpSink(202) as gateway:
        assert run(*UPDATE, "--metrics", gateway.url).exit_code == 3
    (pushed,) = gateway.received
    path, body = pushed.path, pushed.body.decode()
    assert pushed.method == "POST", "keeps the newest run when the next command fails"
    assert path.startswith("/metrics/job/hrrr_dask/")
    assert "/command/update" in path
    encoded = path.partition("/store@base64/")[2].partition("/")[0]
    assert base64.urlsafe_b64decode(encoded + "==").decode() == (Path.cwd() / "s.zarr").as_uri()
    assert total([body], "hrrr_dask_command_files") == 4


def test_a_gateway_that_refuses_changes_no_exit_code(updated):
    with HttpSink(500) as gateway:
        result = run(*UPDATE, "--metrics", gateway.url)
    assert (result.exit_code, f"no metrics at {gateway.url}" in result.stderr) == (3, True)
    result = run(*UPDATE, "--metrics", "http://127.0.0.1:9")
    assert (result.exit_code, "no metrics at http://127.0.0.1:9" in result.stderr) == (3, True)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("http://me:hunter2@gateway:9091", "without user, password"),
        ("http://gateway:9091/?token=hunter2", "without user, password"),
        ("s3://bucket/a.prom", "not a s3:// URL"),
        ("no/such/directory/a.prom", "existing directory"),
        (".", "existing directory"),
        ("", "existing directory"),
    ],
)
def test_a_bad_target_is_refused_before_the_command_starts(updated, value, said):
    updated(lambda **_: pytest.fail("the command was run"))
    result = run(*UPDATE, "--metrics", value)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "hunter2" not in result.stderr


def test_without_prometheus_client_the_error_names_it():
    code = "import sys; sys.modules['prometheus_client'] = None; from hrrr_dask.cli import main; main()"
    command = [sys.executable, "-c", code, *UPDATE, "--metrics", "a.prom"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "pip install prometheus-client" in done.stderr
