"""The benchmarks run and compare equal results. No test checks a time."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from benchmarks import cold_start, telemetry_cost
from benchmarks.__main__ import main
from benchmarks.one_file import CONTENDERS, PEER_KEYS, compare
from benchmarks.readme import BEGIN, END, README
from benchmarks.running import BENCHMARKS, Row, UnavailableError, make_parser, run_alone
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.testing import GridWindow, expected_field

WINDOW = GridWindow(288, 794, 40, 50)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def answer(work: Path) -> dict[str, dict[str, dict[str, float]]]:
    window = [str(number) for number in (WINDOW.row, WINDOW.column, WINDOW.ny, WINDOW.nx)]
    report = work.parent / "one_file.json"
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        run_alone("one_file", ["--work", str(work), "--repeats", "1", "--json", str(report), "--window", *window])
    assert all(label in stdout.getvalue() for label in CONTENDERS)
    return json.loads(report.read_text())["one_file"]


def test_all_contenders_are_measured_and_agree(answer):
    assert list(answer["medians"]) == list(CONTENDERS)
    assert answer["medians"]["hrrr_dask"]["cpu_s_ratio"] == 1
    assert all(row["cpu_s"] > 0 and row["peak_bytes"] >= 0 for row in answer["medians"].values())


def test_downloads_are_counted_for_few_and_many_points(answer):
    rows = {row["points"]: row for row in answer["downloads"]}
    assert {"1 anywhere", "3 anywhere", "500 anywhere"} <= set(rows)
    assert all(row["parts_bytes_ratio"] >= 1 for row in rows.values()), "messages of a small window are read whole"
    assert all(row["parts_requests"] == row["prefixes_requests"] > 1 for row in rows.values())


def test_the_values_are_those_of_the_synthetic_file(answer, work):
    (case,) = work.iterdir()
    reading, job = pickle.loads((case / "job.pickle").read_bytes())
    file = reading.file
    y, x = np.load(case / "cells.npy")
    values = np.load(case / "values.npy")  # of the last contender, along the grid's axes
    for name, found in zip(PEER_KEYS, values, strict=True):
        field = expected_field(name, file.init_time, 60 * file.lead_hours, WINDOW)
        np.testing.assert_array_equal(found, field[y, x], name)
    assert tuple(PEER_KEYS) == DEFAULT_VARIABLES == tuple(variable.name for variable in job.variables)


def test_a_contender_with_other_values_is_refused(answer, work):
    (case,) = work.iterdir()
    values = np.load(case / "values.npy")
    with pytest.raises(RuntimeError, match=r"other values than hrrr_dask: .*u_component_wind_10m"):
        compare(case, "cfgrib.open_datasets", values, values)  # ours would be turned to east and north


def test_each_benchmark_says_what_it_does_and_has_help(capsys):
    main(["--list"])
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == list(BENCHMARKS)
    assert all(len(line.split()) > 5 for line in listed)
    for name in BENCHMARKS:
        with pytest.raises(SystemExit, match="0"):
            run_alone(name, ["--help"])
        assert f"python -m benchmarks.{name}" in capsys.readouterr().out


class Fake:
    """A benchmark that returns immediately."""

    def parser(self):
        return make_parser("fake", "Does nothing.", repeats=5)

    def collect(self, given):
        if given.repeats == 13:
            raise UnavailableError("install luck")
        return {"repeats": given.repeats}

    def show(self, answer):
        print(f"measured {answer['repeats']} times")


def test_benchmarks_are_run_by_name_with_the_options_that_they_know(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.__main__.benchmark_named", {name: Fake() for name in BENCHMARKS}.get)
    main(["scale", "one_file", "--repeats", "3", "--work", "w", "--json", str(tmp_path / "report.json")])
    said = capsys.readouterr()
    assert said.out.count("measured 3 times") == 2
    assert "scale: measuring (--work=w is not for it)" in said.err
    assert json.loads((tmp_path / "report.json").read_text()) == {"scale": {"repeats": 3}, "one_file": {"repeats": 3}}


def test_what_cannot_be_measured_here_is_named(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.__main__.benchmark_named", {name: Fake() for name in BENCHMARKS}.get)
    with pytest.raises(SystemExit, match="not measured: scale, one_file"):
        main(["scale", "one_file", "--repeats", "13"])
    assert "scale: not measured: install luck" in capsys.readouterr().err


@pytest.mark.parametrize("names", [[], ["two_files"]])
def test_an_unknown_benchmark_is_refused_with_the_known_ones(names, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(names)
    assert "name one or more of" in capsys.readouterr().err


def test_a_start_is_measured_for_each_engine_with_and_without_compiled_code(capsys):
    given = cold_start.parser().parse_args(["--quick", "--repeats", "1", "--engines", "eccodes"])
    answer = cold_start.collect(given)
    assert [(row["engine"], row["cache"]) for row in answer["medians"]] == [
        (engine, cache) for engine in (cold_start.BASELINE, "eccodes") for cache in ("warm", "empty")
    ]
    assert all(row["cpu_s"] > 0 and row["wall_s"] > 0 and row["peak_bytes"] > 0 for row in answer["medians"])
    assert [row["wall_s_ratio"] for row in answer["medians"] if row["cache"] == "warm"][-1] == 1
    cold_start.show(answer)
    assert "peak MB" in capsys.readouterr().out
    assert all(row.what.startswith("start to first points") for row in cold_start.readme_rows(answer))


def test_the_cost_of_telemetry_is_that_of_counting_and_logging(tmp_path, monkeypatch):
    counted = []
    monkeypatch.setattr(
        telemetry_cost.metrics, "count_file", lambda _: counted.append(bool(telemetry_cost.metrics._made))
    )
    found = telemetry_cost.measure(100, telemetry_cost.GridWindow(288, 794, 8, 10), "eccodes", "debug", tmp_path)
    assert found["files"] == 100
    assert counted.count(False) == 50, "half of the files"
    assert counted.count(True) == 51, "the first one prepares"
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert len([event for event in events if event["event"] == "file read"]) == 50
    assert found["without_s"] > 0
    assert found["with_s"] > 0


class Table:
    """A benchmark that has run."""

    def readme_rows(self, answer):
        return [Row("reading", f"a {animal}", f"{ratio} x the time") for animal, ratio in answer["ratios"].items()]


@pytest.fixture
def report(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("benchmarks.readme.benchmark_named", {"fake": Table()}.__getitem__)
    answer = {"about": {"machine": "a machine, load 3.1 at the end"}, "ratios": {"snail": 9, "hare": 1.1}}
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"fake": answer}))
    return path


def test_a_report_becomes_a_table_in_the_readme_which_keeps_the_rest(report, tmp_path, monkeypatch):
    readme, text = tmp_path / "README.md", README.read_text()
    readme.write_text(text)
    monkeypatch.setattr("benchmarks.__main__.README", readme)
    main(["--readme", str(report)])
    before, _, rest = readme.read_text().partition(f"{BEGIN}\n")
    table, _, after = rest.partition(f"\n{END}")
    assert table.splitlines() == [
        "| what | compared with | ratio |",
        "|---|---|---|",
        "| reading | a snail | 9 x the time |",
        "|  | a hare | 1.1 x the time |",
        "",
        "Measured on a machine.",
    ]
    assert before == text.partition(f"{BEGIN}\n")[0]
    assert after == text.rpartition(END)[2]
    main(["--readme", str(report)])
    assert readme.read_text() == f"{before}{BEGIN}\n{table}\n{END}{after}"


def test_a_readme_without_a_place_and_a_report_without_ratios_are_refused(report, tmp_path, monkeypatch):
    readme = tmp_path / "README.md"
    readme.write_text(f"{END}\n{BEGIN}\n")
    monkeypatch.setattr("benchmarks.__main__.README", readme)
    with pytest.raises(SystemExit, match="no place for the table"):
        main(["--readme", str(report)])
    report.write_text("{}")
    with pytest.raises(SystemExit, match="nothing that was measured belongs into the README"):
        main(["--readme", str(report)])
    assert readme.read_text() == f"{END}\n{BEGIN}\n"
