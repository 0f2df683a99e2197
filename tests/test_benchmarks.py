"""The benchmarks run, and what they compare is equal. Their times are nobody's promise."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from benchmarks.one_file import CONTENDERS, PEER_KEYS, compare, main
from hrrr_dask.testing import GridWindow, expected_field
from hrrr_dask.variables import DEFAULT_VARIABLES

WINDOW = GridWindow(288, 794, 40, 50)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def answer(work: Path) -> dict[str, dict[str, dict[str, float]]]:
    window = [str(number) for number in (WINDOW.row, WINDOW.column, WINDOW.ny, WINDOW.nx)]
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        main(["--work", str(work), "--repeats", "1", "--json", "--window", *window])
    return json.loads(stdout.getvalue())


def test_all_contenders_are_measured_and_agree(answer):
    assert list(answer["medians"]) == list(CONTENDERS)
    assert answer["medians"]["hrrr_dask"]["cpu_s_ratio"] == 1
    assert all(row["cpu_s"] > 0 and row["peak_bytes"] >= 0 for row in answer["medians"].values())


def test_the_values_are_those_of_the_synthetic_file(answer, work):
    (case,) = work.iterdir()
    reading, job = pickle.loads((case / "job.pickle").read_bytes())
    file = reading.file
    y, x = np.load(case / "cells.npy")
    values = np.load(case / "values.npy")  # of the last contender, along the grid's axes
    for name, found in zip(PEER_KEYS, values, strict=True):
        np.testing.assert_array_equal(found, expected_field(name, file.init_time, file.lead_hours, WINDOW)[y, x], name)
    assert tuple(PEER_KEYS) == DEFAULT_VARIABLES == tuple(variable.name for variable in job.variables)


def test_a_contender_with_other_values_is_refused(answer, work):
    (case,) = work.iterdir()
    values = np.load(case / "values.npy")
    with pytest.raises(RuntimeError, match=r"other values than hrrr_dask: .*u_component_wind_10m"):
        compare(case, "cfgrib.open_datasets", values, values)  # ours would be turned to east and north


def test_help_says_what_it_does(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "--nanny-environment" in capsys.readouterr().out
