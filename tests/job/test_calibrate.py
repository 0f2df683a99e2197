"""Measuring this machine: plausible figures, from a process set up as a worker is. No test promises a time."""

from __future__ import annotations

import json
import os
import sys

import pytest

from hrrr_dask.decode import ENGINES
from hrrr_dask.errors import ConfigError, RunError
from hrrr_dask.job import calibrate as module
from hrrr_dask.job.calibrate import WORKER_ENVIRONMENT, calibrate, cpu_seconds
from hrrr_dask.job.costs import DEFAULT_CALIBRATION
from hrrr_dask.testing import GridWindow


def test_a_calibration_says_what_was_measured():
    found = calibrate()
    assert (found.measured, found.engine) == (True, "auto")
    assert 0.00005 < found.seconds_per_message < 5
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert found.seconds_per_file == DEFAULT_CALIBRATION.seconds_per_file


def test_more_cells_take_more_time():
    small, large = (cpu_seconds("numba", GridWindow(0, 0, side, side), 5) for side in (32, 700))
    assert 0 < small < large


def test_every_engine_can_be_measured():
    assert all(cpu_seconds(engine, GridWindow(0, 0, 32, 32), 1) > 0 for engine in ENGINES)


def test_an_engine_that_is_unknown_is_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(module.sys, "executable", "/nowhere")
    with pytest.raises(ConfigError, match="did you mean eccodes"):
        calibrate("ecodes")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo out of memory >&2; exit 1", "out of memory"),
        ("echo fast", "could not convert string to float"),
        (None, "No such file"),
    ],
)
def test_a_measurement_that_fails_says_why_and_what_to_do(tmp_path, monkeypatch, script, why):
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(python))
    with pytest.raises(RunError, match=rf"(?s)decoding with auto could not be .*{why}.*; plan without --calibrate"):
        calibrate()


@pytest.mark.parametrize(("own", "expected"), [(None, "65536"), ("1000000", "1000000")])
def test_the_process_has_a_workers_memory_settings_unless_the_environment_has_its_own(
    tmp_path, monkeypatch, own, expected
):
    seen = tmp_path / "seen.json"
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport json, os, pathlib\n"
        f"pathlib.Path({str(seen)!r}).write_text(json.dumps(dict(os.environ)))\nprint(0.02)\n"
    )
    python.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(python))
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    if own is not None:
        monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", own)
    assert calibrate().seconds_per_message == 0.02
    assert json.loads(seen.read_text())["MALLOC_TRIM_THRESHOLD_"] == expected


def test_the_settings_are_those_of_dasks_nanny():
    import dask.config
    import distributed  # noqa: F401  its defaults are what is looked at

    given = dask.config.get("distributed.nanny.pre-spawn-environ")
    assert {key: str(given[key]) for key in WORKER_ENVIRONMENT} == WORKER_ENVIRONMENT
