"""The benchmark of an hourly update runs on a loopback S3, and finds that earlier runs are written again."""

from __future__ import annotations

import json

import pytest

from benchmarks import hourly_update
from benchmarks.hourly_update import CONTENDERS, FILLS, HERE, Contender, compare
from benchmarks.running import run_alone

LONG, SHORT = (
    Contender("16 days, one shard after the other", partition_days=16, at_once=1),
    Contender("2 days", partition_days=2),
)


@pytest.fixture(scope="module")
def answer() -> dict:
    return compare([LONG, SHORT], [3], n_leads=2, latency_ms=1, repeats=1)


def test_every_contender_is_measured_half_full_and_full(answer):
    assert list(answer["points"]["3"]) == [LONG.name, SHORT.name]
    for rows, days in zip(answer["points"]["3"].values(), (16, 2), strict=True):
        assert list(rows) == list(FILLS)
        for one in rows.values():
            assert one["layout"]["partition_days"] == days
            assert one["bytes_new"] == 2 * 11 * 3 * 4
            assert one["seconds"] > 0
            assert one["requests"] > 22, "each of the eleven shards is read and written"


def test_an_update_rewrites_the_runs_before_it(answer):
    before, short = ([rows[fill]["bytes_written"] for fill in FILLS] for rows in answer["points"]["3"].values())
    assert 1.5 < before[1] / before[0] < 2.5
    assert short[1] < before[0] / 3


def test_another_checkout_is_a_contender(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(hourly_update, "CONTENDERS", CONTENDERS[-1:])
    monkeypatch.setattr(hourly_update, "FILLS", {"half full": 0.5})
    report = tmp_path / "report.json"
    run_alone("hourly_update", ["--quick", "--repeats", "1", "--checkout", str(HERE), "--json", str(report)])
    rows = json.loads(report.read_text())["hourly_update"]["points"]["10"]
    assert list(rows) == ["default of the other checkout", "default"]
    first, same = (one["half full"] for one in rows.values())
    assert (first["layout"], first["requests"]) == (same["layout"], same["requests"])
    assert first["bytes_written"] == pytest.approx(same["bytes_written"], rel=0.01)
    assert "ratios to 'default of the other checkout'" in capsys.readouterr().out
