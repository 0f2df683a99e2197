"""The benchmark of a notebook's first lines runs on a loopback S3, and counts what each line costs."""

from __future__ import annotations

import pytest

from benchmarks import notebook
from benchmarks.layouts import Case
from hrrr_dask.testing import loopback_s3

CASE = Case(n_days=40, n_leads=3, n_points=12)


def test_each_step_is_counted(capsys):
    with loopback_s3() as server:
        answer = notebook.compare(server, CASE, latency_ms=1, repeats=1)
    steps = answer["steps"]
    assert list(steps) == list(notebook.STEPS)
    layout = CASE.spec().layout
    shards = -(-CASE.n_days // layout.partition_days)
    assert steps["a point's year"]["requests"] == steps["a point, all years"]["requests"]
    assert steps["a point's year"]["requests"] == layout.requests_per_shard * shards
    pictures = [steps[name]["requests"] - steps["a point's year"]["requests"] for name in notebook.STEPS[2:4]]
    assert 0 < pictures[0] == pictures[1] < 15, "the coordinates of the points, none of each run and lead time"
    notebook.show(answer)
    assert "open_dataset" in capsys.readouterr().out
    assert notebook.readme_rows(answer)


def test_wrong_values_give_no_figures(monkeypatch):
    monkeypatch.setattr(notebook.np, "ascontiguousarray", lambda values: values + 1)
    with loopback_s3() as server, pytest.raises(RuntimeError, match="other values"):
        notebook.compare(server, CASE, latency_ms=0, repeats=1)
