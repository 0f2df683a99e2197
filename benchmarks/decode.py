"""Compares the cost of decoding points from one whole HRRR message with that of other packages.

Run ``python -m benchmarks decode``. The contenders decode the same bytes in turn, and their values are compared bit
for bit after every turn.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# A contender's process loads this module: only the standard library and numpy here, or its imports would be shared.
import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import NANNY, describe_environment, describe_machine, describe_versions, medians, resident
from benchmarks.peers import KNOWN_TO_DIFFER, OURS, PEERS, REFERENCE, Decode, is_installed, prepare_with
from benchmarks.running import Answer, Row, default_engine, make_parser, run_alone, say, working
from benchmarks.turns import Player, Turn, take_turn
from benchmarks.whole_messages import REAL, Grib, cut_messages, encode_messages

if TYPE_CHECKING:
    Turns = dict[tuple[str, int], list[Turn[NDArray[np.float32]]]]
    """Label and number of points to one contender's turns."""

QUICK: Final = (288, 794, 24, 32)
"""Row, column, ny, nx."""

ENVIRONMENTS: Final = {"nanny": NANNY, "default": dict[str, str]()}

COUNTS: Final = (1, 100, 3000)
"""Numbers of points between which the cost of complex packing should not differ."""

EVEN: Final = 1.15
"""Maximum ratio between the costs of different numbers of points."""

GOALS: Final = {
    "5.3": {REFERENCE: 12.0, "cfgrib": 18.0, "gribberish": 12.0},
    "5.0": {REFERENCE: 300.0},
}
"""Minimum ratio of a peer's CPU time to ours that we aim for, by packing and peer."""


# In a contender's process


def contend(label: str, work: str, small: Sequence[str]) -> Callable[[tuple[Grib, NDArray[np.int64], bool]], Any]:
    """Prepare a contender; what this gives answers a message, cells and whether they are measured.

    A message is prepared when it is first asked for, unmeasured, and given up for the next one.
    """
    prepare = prepare_with(label, Path(work))
    for path in small:  # tables are read, and code is compiled, once in a process
        prepare(Grib("small", Path(path), Path(path), "", 0, 0))(np.zeros(1, dtype=np.int64))
    base = resident("VmRSS")
    ready: dict[str, Decode] = {}

    def answer(request: tuple[Grib, NDArray[np.int64], bool]) -> Any:
        grib, cells, measured = request
        if grib.name not in ready:
            ready.clear()
            ready[grib.name] = prepare(grib)
        if not measured:
            ready[grib.name](cells)
            return None
        turn = take_turn(lambda: ready[grib.name](cells))
        return Turn(turn.cpu_s, turn.wall_s, max(turn.peak_bytes - base, 0), turn.result)

    return answer


# In the parent


def race(gribs: Sequence[Grib], work: Path, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure the contenders in turn, again and again: for each environment and message, a row of each contender."""
    labels = [f"{OURS}{engine}" for engine in given.engines] + [peer for peer in given.peers if is_installed(peer)]
    counts = sorted({*COUNTS, given.points})
    small = [str(path) for path in _small_messages(work)]
    for name in given.environments:
        with ExitStack() as stack:
            players = {
                label: stack.enter_context(
                    Player("benchmarks.decode.contend", ENVIRONMENTS[name], label=label, work=str(work), small=small)
                )
                for label in labels
            }
            for grib in gribs:
                say(f"{grib.name}, {name} environment")
                turns = race_one(grib, players, counts, given.points, given.repeats)
                yield from _rows(name, grib, turns, given.points)


def race_one(grib: Grib, players: dict[str, Player], counts: Sequence[int], points: int, repeats: int) -> Turns:
    """One message: all contenders at the usual number of points, ours at the others too."""
    cells = {count: scatter_cells(grib.n_cells, count) for count in counts}
    for player in players.values():
        player.ask((grib, cells[points], False))
    turns: Turns = {}
    for _ in range(repeats):
        latest = {}
        for label, player in players.items():
            latest[label, points] = player.ask((grib, cells[points], True))
            if label.startswith(OURS):
                latest |= {
                    (label, count): player.ask((grib, cells[count], True)) for count in counts if count != points
                }
        for place, turn in latest.items():
            turns.setdefault(place, []).append(turn)
        for label in players:
            compare(grib, label, latest[label, points].result, latest[REFERENCE, points].result)
    return turns


def scatter_cells(n_cells: int, count: int) -> NDArray[np.int64]:
    """The same cells whenever asked; the grid's last one is among them, so that nobody may stop before the end."""
    cells = np.random.default_rng(2024).integers(0, n_cells, count)
    cells[count // 2] = n_cells - 1
    return cells


def compare(grib: Grib, label: str, values: NDArray[np.float32], reference: NDArray[np.float32]) -> int:
    """How many values are not ecCodes' bit for bit; NaN equals NaN.

    Raises
    ------
    RuntimeError
        If there are any, unless the peer is known to have others for this packing.
    """
    same = (values.view(np.uint32) == reference.view(np.uint32)) | (np.isnan(values) & np.isnan(reference))
    other = int(np.size(same) - np.count_nonzero(same))
    if other and (label, grib.packing) not in KNOWN_TO_DIFFER:
        at = int(np.argmin(same))
        raise RuntimeError(
            f"{label} has other values than {REFERENCE} in {other} of {same.size} cells of {grib.name} "
            f"({grib.packing}): {values[at]!r}, not {reference[at]!r}; no figure is worth printing"
        )
    return other


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """Environment, packing and contender to the least, the median and the greatest ratio of the messages."""
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for row in rows:
        by_packing = found.setdefault(row["environment"], {}).setdefault(row["packing"], {})
        by_packing.setdefault(row["contender"], []).append(row["cpu_ratio"])
    return {
        environment: {
            packing: {
                label: {"least": min(ratios), "median": statistics.median(ratios), "greatest": max(ratios)}
                for label, ratios in contenders.items()
            }
            for packing, contenders in packings.items()
        }
        for environment, packings in found.items()
    }


def _rows(environment: str, grib: Grib, turns: Turns, points: int) -> Iterator[dict[str, Any]]:
    """Medians of each contender; ratios are medians of the repeats' ratios to our first engine."""
    ours = next(iter(turns))[0]
    for label in dict.fromkeys(label for label, _ in turns):
        own = turns[label, points]
        figures = medians([{"cpu_s": one.cpu_s, "wall_s": one.wall_s, "peak_bytes": one.peak_bytes} for one in own])
        pairs = list(zip(own, turns[ours, points], strict=True))
        per_count = {count: medians([{"cpu_s": one.cpu_s} for one in turns[whose, count]])["cpu_s"]
                     for whose, count in sorted(turns) if whose == label}  # fmt: skip
        yield {
            "environment": environment,
            "message": grib.name,
            "packing": grib.packing,
            "contender": label,
            **figures,
            "cpu_ratio": statistics.median(one.cpu_s / our.cpu_s for one, our in pairs),
            "wall_ratio": statistics.median(one.wall_s / our.wall_s for one, our in pairs),
            "values_differ": compare(grib, label, own[-1].result, turns[REFERENCE, points][-1].result),
            "cpu_s_by_points": per_count,
            "unevenness": max(per_count.values()) / min(per_count.values()),
            "cpu_s_of_repeats": [one.cpu_s for one in own],
        }


def _small_messages(work: Path) -> list[Path]:
    from hrrr_dask.testing import DEFAULT_WINDOW

    return [grib.path for grib in encode_messages(DEFAULT_WINDOW, work / "small")]


# What every benchmark offers


def parser() -> argparse.ArgumentParser:
    """Its options."""
    from hrrr_dask.decode import ENGINES

    made = make_parser("decode", __doc__, repeats=7, quick="small messages", work="the messages")
    made.add_argument("--points", type=int, default=500, metavar="N", help="taken out of each message (default 500)")
    default = default_engine()
    made.add_argument("--engines", nargs="+", choices=ENGINES, default=[default], help=f"ours (default {default})")
    made.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS), help="others (default all there are)")
    made.add_argument(
        "--environments",
        nargs="+",
        choices=ENVIRONMENTS,
        default=list(ENVIRONMENTS),
        help="of processes (default both)",
    )
    source = made.add_mutually_exclusive_group()
    source.add_argument(
        "--messages", type=Path, metavar="DIR", help="GRIB2 files of whole grids (default: NOAA's, where they are)"
    )
    source.add_argument("--synthetic", action="store_true", help="synthetic messages, also where NOAA's are")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    from hrrr_dask.testing import GridWindow

    given.peers = list(dict.fromkeys([REFERENCE, *given.peers]))
    source = given.messages or (None if given.synthetic or given.quick or not REAL.is_dir() else REAL)
    with working(given.work) as work:
        if source:
            gribs = cut_messages(source, work / "messages")
        else:
            gribs = encode_messages(GridWindow(*QUICK) if given.quick else GridWindow.whole(), work / "messages")
        rows = list(race(gribs, work, given))
    absent = [label for label in given.peers if not is_installed(label)]
    about = {
        "messages": f"{len(gribs)} of {'NOAA' if source else 'the synthetic archive'}",
        "points": f"{given.points}, one of them the last cell of the grid",
        "repeats": f"{given.repeats}, the contenders in turn, each in its own process; medians",
        "environments": "; ".join(f"{name}: {describe_environment(ENVIRONMENTS[name])}" for name in given.environments),
        "values": f"compared bit for bit with {REFERENCE} after every turn",
        "not measured": ", ".join(absent) + " (pip install 'hrrr-dask[benchmarks]')" if absent else "",
        "versions": _versions(),
        "machine": describe_machine(),
    }
    return {"about": about, "points": given.points, "summary": summarise(rows), "rows": rows}


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        if text:
            print(f"{name:<13} {text}")
    head = f"{'CPU ms':>9}{'ratio':>8}{'wall ms':>9}{'peak MB':>9}  values"
    shown: tuple[str, str] = ("", "")
    for row in answer["rows"]:
        if (row["environment"], row["message"]) != shown:
            shown = (row["environment"], row["message"])
            print(f"\n{row['message']} ({row['packing']}), {row['environment']} environment")
            print(f"{'':<20}{head}")
        print(f"{row['contender']:<20}{_figures(row)}")
    for environment, packings in answer["summary"].items():
        print(f"\nCPU time over ours, {environment} environment; least, median and greatest of the messages")
        for packing, contenders in packings.items():
            for label, ratios in list(contenders.items())[1:]:
                goal = GOALS.get(packing, {}).get(label)
                print(f"{packing:<14}{label:<20}{_spread(ratios)}{f'   goal >= {goal:g}' if goal else ''}")
    print(f"\nCPU ms of {OURS.strip()} by number of points; dearest over cheapest, complex packing: goal <= {EVEN}")
    for row in answer["rows"]:
        if row["contender"].startswith(OURS):
            what = f"{row['message']} ({row['packing']})"
            print(f"{what:<54}{row['contender']:<20}{row['environment']:<9}{_by_points(row)}")


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: each packing, in the environment of a worker."""
    words = {"5.0": "simple packing", "5.3": "complex packing with spatial differencing"}
    summary = answer["summary"].get("nanny") or next(iter(answer["summary"].values()))
    rows = []
    for packing, contenders in summary.items():
        what = f"{answer['points']} points of a message, {words.get(packing, '')}"
        peers = [label for label in contenders if not label.startswith(OURS)] if packing in words else []
        rows += [Row(what, label, _times(contenders[label]["median"])) for label in peers]
    return rows


def _times(ratio: float) -> str:
    return f"{ratio:,.0f} x the CPU time" if ratio >= 100 else f"{ratio:.3g} x the CPU time"


def _figures(row: dict[str, Any]) -> str:
    known = KNOWN_TO_DIFFER.get((row["contender"], row["packing"]), "")
    values = f"{row['values_differ']} differ: {known}" if row["values_differ"] else "equal"
    milliseconds = f"{1000 * row['cpu_s']:9.3f}{row['cpu_ratio']:8.2f}{1000 * row['wall_s']:9.3f}"
    return f"{milliseconds}{row['peak_bytes'] / 1e6:9.1f}  {values}"


def _spread(ratios: dict[str, float]) -> str:
    return "".join(f"{ratios[name]:9.2f}" for name in ("least", "median", "greatest"))


def _by_points(row: dict[str, Any]) -> str:
    by_points = ", ".join(f"{count}: {1000 * seconds:.3f}" for count, seconds in row["cpu_s_by_points"].items())
    return f"{by_points}; {row['unevenness']:.2f}"


def _versions() -> str:
    names = {"Herbie": "herbie-data", REFERENCE: "eccodes"}
    peers = [names.get(label, label) for label in PEERS if is_installed(label)]
    return describe_versions(["hrrr-dask", *peers, "xarray", "numpy"])


if __name__ == "__main__":
    run_alone("decode")
