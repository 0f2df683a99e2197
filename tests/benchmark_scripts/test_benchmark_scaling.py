"""The scaling tables agree with the cost model, with themselves, and with docs/scaling.md."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from support.paths import ROOT

from benchmarks.scaling import PERIODS, WORKERS, Limits, limits_of, look, main, outlook, plan_of, sizes, tables

PAGE = ROOT / "docs" / "scaling.md"
NO_LIMITS = Limits(node_gbit=1e9, gets_per_s=1e9, file_s=1e-9, task_s=1e-12, task_file_s=1e-12)


@pytest.fixture(scope="module")
def plan():
    return plan_of("1 year")[0]


@pytest.fixture(scope="module")
def costs():
    return plan_of("1 year")[1]


def test_without_limits_it_is_the_cost_model(plan, costs):
    for workers in (1, 7, 300):
        one = outlook("1 year", plan, costs, workers, NO_LIMITS)
        assert (one.limit, one.files) == ("cores", costs.files)
        assert one.hours * workers == pytest.approx(costs.core_hours)
        assert one.dollars == pytest.approx(costs.dollars)
        assert one.busy == pytest.approx(1)


def test_a_file_costs_what_the_plan_and_the_calibration_say(plan, costs):
    cpu_s = costs.core_hours * 3600 / costs.files
    assert cpu_s == pytest.approx(0.025 + 11 * 0.002, rel=0.001)
    days = 365
    assert plan.n_files == days * 24 * 19
    assert sum(PERIODS["11 years"][1].year - start.year + 1 for start, _ in PERIODS.values()) == 1 + 5 + 11


def test_the_scheduler_is_as_fast_as_it_was_measured():
    limits = Limits()
    for files, measured in ((1, 501), (19, 4430)):
        assert files / (limits.task_s + files * limits.task_file_s) == pytest.approx(measured, rel=0.01)
    assert 2 / limits.file_s == pytest.approx(11.8, rel=0.01), "two threads"


def test_at_the_number_that_a_limit_feeds_it_binds(plan, costs):
    cpu_s = costs.core_hours * 3600 / costs.files
    numbers = limits_of(plan, costs, Limits())
    prefix = numbers["one prefix of the archive"]
    wide = Limits(node_gbit=1e6, task_s=1e-9, task_file_s=1e-9, file_s=1e-6)
    assert outlook("1 year", plan, costs, math.floor(prefix), wide).limit == "cores"
    assert outlook("1 year", plan, costs, math.ceil(prefix), wide).limit == "prefix"
    network = numbers["network of a node, 10 Gbit/s"]
    full = Limits(node_cores=1, node_gbit=10 / network).files_per_s(plan, cpu_s, 1)
    assert full["network"] == pytest.approx(full["cores"])


def test_more_workers_are_never_slower_and_never_cheaper():
    found = look(WORKERS, Limits())
    for one, more in pairwise(found):
        if one.period == more.period:
            assert more.files_per_s >= one.files_per_s
            assert more.dollars >= one.dollars * (1 - 1e-9)


def test_the_page_has_the_tables_that_the_script_prints(capsys, tmp_path):
    page = PAGE.read_text()
    for table in (*tables(WORKERS, Limits()).split("\n\n"), sizes()):
        assert table in page
    main(["--node-gbit", "25", "--prefixes", "10", "--json", str(tmp_path / "all.json")])
    printed = capsys.readouterr().out.strip().split("\n\n")
    assert printed[1] in page
    assert printed[2] == sizes()
    assert len(json.loads((tmp_path / "all.json").read_text())) == len(PERIODS) * len(WORKERS)
