"""The benchmark of an hourly update runs on a loopback S3, and finds that earlier runs are written again."""

from __future__ import annotations

import json

import pytest

from benchmarks.hourly_update import BEFORE, CONTENDERS, FILLS, HERE, Contender, compare
from benchmarks.running import run_alone


@pytest.fixture(scope="module")
def answer() -> dict:
    contenders = [BEFORE, Contender("default"), Contender("2 days", partition_days=2)]
    return compare(contenders, [3], n_leads=2, latency_ms=1, repeats=2)


def row(answer: dict, name: str, fill: str) -> dict:
    found: dict = answer["points"]["3"][name][fill]
    return found


def test_every_contender_is_measured_half_full_and_full(answer):
    assert list(answer["points"]["3"]) == [BEFORE.name, "default", "2 days"]
    for rows in answer["points"]["3"].values():
        assert list(rows) == list(FILLS)
        for one in rows.values():
            assert one["bytes_new"] == 2 * 11 * 3 * 4
            assert one["seconds"] > 0
            assert one["requests"] > 22, "each of the eleven shards is read and written"
    assert row(answer, "2 days", "full")["layout"]["partition_days"] == 2


def test_an_update_rewrites_the_runs_before_it(answer):
    for name in (BEFORE.name, "default"):
        half, full = (row(answer, name, fill)["bytes_written"] for fill in FILLS)
        assert 1.5 < full / half < 2.5
    assert row(answer, "2 days", "full")["bytes_written"] < row(answer, "default", "half full")["bytes_written"] / 3


def test_another_checkout_is_a_contender(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("benchmarks.hourly_update.CONTENDERS", CONTENDERS[-1:])
    report = tmp_path / "report.json"
    run_alone("hourly_update", ["--quick", "--repeats", "1", "--checkout", str(HERE), "--json", str(report)])
    rows = json.loads(report.read_text())["hourly_update"]["points"]["10"]
    assert list(rows) == ["default of the other checkout", "default"]
    first, same = (one["full"] for one in rows.values())
    assert first["layout"] == same["layout"]
    assert first["bytes_written"] == pytest.approx(same["bytes_written"], rel=0.01)
    assert "ratios to 'default of the other checkout'" in capsys.readouterr().out
