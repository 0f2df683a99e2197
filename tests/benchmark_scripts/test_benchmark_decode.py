"""The decoding benchmark compares equal results and stops at a difference."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.decode import COUNTS, collect, compare, parser, readme_rows, scatter_cells, show
from benchmarks.peers import KNOWN_TO_DIFFER, OURS, PEERS, REFERENCE, is_installed
from benchmarks.turns import Player, take_turn
from benchmarks.whole_messages import SYNTHETIC, Grib, cut_messages, encode_messages
from hrrr_dask.testing import DEFAULT_WINDOW

OPTIONS = ["--quick", "--repeats", "1", "--environments", "nanny", "--points", "50", "--engines", "eccodes"]


@pytest.fixture(scope="module")
def answer() -> dict:
    return collect(parser().parse_args(OPTIONS))


def test_every_peer_is_measured_or_named(answer):
    absent = [peer for peer in PEERS if not is_installed(peer)]
    contenders = [f"{OURS}eccodes", *(peer for peer in PEERS if peer not in absent)]
    by_message = {row["message"]: [] for row in answer["rows"]}
    for row in answer["rows"]:
        by_message[row["message"]].append(row["contender"])
    assert by_message == dict.fromkeys(SYNTHETIC, contenders)
    assert all(peer in answer["about"]["not measured"] for peer in absent)


def test_ratios_are_to_our_engine_and_ours_is_measured_at_several_numbers_of_points(answer):
    for row in answer["rows"]:
        ours = row["contender"].startswith(OURS)
        assert row["cpu_s"] > 0
        assert row["wall_s"] > 0
        assert row["cpu_ratio"] == 1 if ours else row["cpu_ratio"] > 0
        assert sorted(row["cpu_s_by_points"]) == (sorted({*COUNTS, 50}) if ours else [50])
        assert not row["values_differ"]


def test_the_table_has_goals_and_the_readme_has_the_peers(answer, capsys):
    show(answer)
    shown = capsys.readouterr().out
    assert all(f"goal >= {goal}" in shown for goal in (12, 18, 300))
    assert "goal <= 1.15" in shown
    rows = readme_rows(answer)
    assert {row.against for row in rows} == {peer for peer in PEERS if is_installed(peer)}
    assert all(row.what.startswith("50 points of a message, ") for row in rows)


@pytest.fixture
def gribs(tmp_path) -> list[Grib]:
    return encode_messages(DEFAULT_WINDOW, tmp_path / "encoded")


def test_messages_are_described_by_their_packing(gribs):
    assert [grib.packing for grib in gribs] == ["5.3", "5.3", "5.3", "5.0", "5.0 constant"]
    assert {grib.n_cells for grib in gribs} == {DEFAULT_WINDOW.ny * DEFAULT_WINDOW.nx}
    assert gribs[0].together.read_bytes() == b"".join(grib.path.read_bytes() for grib in gribs)


def test_messages_are_cut_out_of_files_whatever_lies_between_them(gribs, tmp_path):
    first, second = gribs[0].path.read_bytes(), gribs[3].path.read_bytes()
    source = tmp_path / "source"
    source.mkdir()
    (source / "hrrr.two.grib2").write_bytes(first + b"\0" + second)
    cut = cut_messages(source, tmp_path / "cut")
    assert [(grib.name, grib.path.read_bytes()) for grib in cut] == [("two-1", first), ("two-2", second)]
    with pytest.raises(RuntimeError, match=r"has no .*grib2 files"):
        cut_messages(tmp_path, tmp_path / "nothing")


def test_other_values_are_refused_unless_the_peer_is_known_for_them(gribs):
    values = np.array([1, np.nan, 3], dtype=np.float32)
    assert compare(gribs[0], "pygrib", values, values.copy()) == 0
    with pytest.raises(RuntimeError, match="pygrib has other values than ecCodes in 1 of 3 cells of temperature_2m"):
        compare(gribs[0], "pygrib", values, np.array([1, np.nan, 3.0000002], dtype=np.float32))
    peer, packing = next(iter(KNOWN_TO_DIFFER))
    (constant,) = (grib for grib in gribs if grib.packing == packing)
    assert compare(constant, peer, values, values + np.float32(1)) == 2


def test_the_last_cell_is_always_wanted():
    for count in COUNTS:
        cells = scatter_cells(768, count)
        assert len(cells) == count
        assert cells.max() == 767
        assert cells.tolist() == scatter_cells(768, count).tolist()


def test_a_short_call_is_repeated_within_a_turn():
    calls = []
    turn = take_turn(lambda: calls.append(1) or len(calls))
    assert turn.result == len(calls) > 1
    assert turn.peak_bytes > 0


def test_a_process_that_fails_is_reported_with_its_words(gribs, tmp_path):
    arguments = {"label": REFERENCE, "work": str(tmp_path), "small": []}
    with (
        Player("benchmarks.decode.contend", {}, **arguments) as player,
        pytest.raises(RuntimeError, match=r"benchmarks.decode.contend with .*ecCodes[\s\S]*IndexError"),
    ):
        player.ask((gribs[0], np.array([10**6]), False))
