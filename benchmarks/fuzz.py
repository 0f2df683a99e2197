"""Tries hundreds of thousands of corrupt inputs (inventories, messages, points, archives): nothing wrong may pass.

A case depends only on the seed and its number, so that it can be repeated. Cases run in a child process, which may
crash, hang (an alarm stops it) or exceed its memory; the parent records the case and continues with the next one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.measuring import ROOT, resident
from benchmarks.running import Answer, Row, make_parser, run_alone, say, working

__all__ = ["KINDS", "Cases", "collect", "open_cases", "parser", "readme_rows", "run_case", "show"]

KINDS: Final = {
    "inventory": ("benchmarks.fuzz_inventories", "InventoryCases"),
    "message": ("benchmarks.fuzz_messages", "MessageCases"),
    "points": ("benchmarks.fuzz_points", "PointsCases"),
    "file": ("benchmarks.fuzz_files", "FileCases"),
}
"""Kinds of input, and the class that corrupts each."""

CASE_S: Final = 20
"""Time limit of a case on a busy machine [s]."""

QUICK_CASES: Final = 200


class Cases(Protocol):
    """A kind of input, and the expected results for corrupt input."""

    limit_bytes: int
    """Memory that a child may allocate beyond what it has before its first case [B]."""

    def __init__(self, shared: Path, work: Path) -> None:
        """Take valid input from ``shared``, or make it; ``work`` is a scratch directory."""

    def case(self, chance: random.Random) -> str:
        """Corrupt an input, try it, and compare; returns the result in a few words.

        Raises
        ------
        Exception
            Any exception means that something is wrong.
        """


def open_cases(kind: str, shared: Path, work: Path) -> Cases:
    """Make the cases of one kind."""
    module, name = KINDS[kind]
    cases: Cases = getattr(import_module(module), name)(shared, work)
    return cases


def run_case(cases: Cases, kind: str, seed: int, number: int) -> tuple[str, str]:
    """Run one case; returns its result, and what is wrong with it."""
    try:
        return cases.case(random.Random(f"{seed}/{kind}/{number}")), ""
    except Exception:  # noqa: BLE001  any exception here is a finding
        return "wrong", traceback.format_exc(limit=-4)


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("fuzz", __doc__, quick=f"{QUICK_CASES} cases of each kind", work="what the cases write")
    made.add_argument("--cases", type=int, default=10_000, metavar="N", help="of each kind (default 10,000)")
    made.add_argument("--first", type=int, default=0, metavar="K", help="number of the first one, to have one again")
    made.add_argument("--seed", type=int, default=1, metavar="S", help="what is spoilt, and how (default 1)")
    made.add_argument("--kind", action="append", choices=KINDS, help="may be given several times; all by default")
    made.add_argument("--messages", type=Path, default=ROOT.parent / "shared" / "data", metavar="DIR", help="NOAA's")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Run all cases and collect their results."""
    count = QUICK_CASES if given.quick else given.cases
    answer: Answer = {"seed": given.seed, "kinds": {}}
    with working(given.work) as work:
        for kind in given.kind or KINDS:
            answer["kinds"][kind] = _run_kind(kind, given, range(given.first, given.first + count), work)
    return answer


def show(answer: Answer) -> None:
    """Print the results, and fail if something is wrong."""
    for kind, found in answer["kinds"].items():
        outcomes = ", ".join(f"{name} {count:,}" for name, count in sorted(found["outcomes"].items()))
        print(f"{kind}: {found['cases']:,} cases in {found['wall_s']:.0f} s: {outcomes}")
        print(
            f"  slowest case {found['slowest_s']:.2f} s, peak memory above the start {found['peak_bytes'] / 1e6:.0f} MB"
        )
        for wrong in found["wrong"]:
            print(f"  case {wrong['case']} (--kind {kind} --seed {answer['seed']} --first {wrong['case']} --cases 1):")
            print("    " + wrong["what"].replace("\n", "\n    "))
    if any(found["wrong"] for found in answer["kinds"].values()):
        sys.exit("something wrong was accepted, or came out")


def readme_rows(answer: Answer) -> list[Row]:
    """No rows: the figures are no ratios."""
    del answer
    return []


def _run_kind(kind: str, given: argparse.Namespace, numbers: range, work: Path) -> dict[str, Any]:
    """Run all cases of a kind, in as many child processes as needed."""
    began, place = time.perf_counter(), work / kind
    place.mkdir(exist_ok=True)
    total: dict[str, Any] = {"cases": len(numbers), "outcomes": Counter(), "wrong": [], "slowest_s": 0, "peak_bytes": 0}
    context = multiprocessing.get_context("spawn")
    at = context.Value("q", numbers.start - 1)
    while numbers:
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=_child, args=(kind, given.seed, numbers, given.messages, place, at, theirs))
        child.start()
        theirs.close()
        _receive(mine, total)
        child.join()
        if not child.exitcode:
            break
        if at.value < numbers.start:
            raise RuntimeError(f"{kind}: no case was begun, exit code {child.exitcode}: run it with --cases 1")
        ended = {-signal.SIGALRM: f"took more than {CASE_S} s"}.get(child.exitcode, f"exit code {child.exitcode}")
        say(f"{kind}: case {at.value}: {ended}")
        total["wrong"].append({"case": at.value, "what": ended})
        total["outcomes"]["wrong"] += 1
        numbers = range(at.value + 1, numbers.stop)
    return total | {"wall_s": time.perf_counter() - began}


def _receive(mine: Any, total: dict[str, Any]) -> None:
    """Add the results that a child reports until it ends."""
    while True:
        try:
            outcomes, wrong, slowest_s, peak_bytes = mine.recv()
        except EOFError:
            return
        total["outcomes"].update(outcomes)
        total["wrong"] += wrong
        total["slowest_s"] = max(total["slowest_s"], slowest_s)
        total["peak_bytes"] = max(total["peak_bytes"], peak_bytes)


def _child(kind: str, seed: int, numbers: range, shared: Path, work: Path, at: Any, told: Any) -> None:
    """Run cases one after the other and report results now and then."""
    cases = open_cases(kind, shared, work)
    for number in range(-20, 0):  # compiles, imports and opens what every case needs
        run_case(cases, kind, seed, number)
    before = resident("VmRSS")
    allowed = resident("VmSize") + cases.limit_bytes
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    outcomes: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    slowest_s, since = 0.0, time.perf_counter()
    for number in numbers:
        at.value = number
        signal.alarm(CASE_S)
        began = time.process_time()
        outcome, what = run_case(cases, kind, seed, number)
        slowest_s = max(slowest_s, time.process_time() - began)
        outcomes[outcome] += 1
        wrong += [{"case": number, "what": what}] if what else []
        if what or time.perf_counter() - since > 1 or number == numbers[-1]:
            told.send((outcomes, wrong, slowest_s, resident("VmHWM") - before))
            outcomes, wrong, since = Counter(), [], time.perf_counter()
    signal.alarm(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, run, print."""
    run_alone("fuzz", arguments)


if __name__ == "__main__":
    main()
