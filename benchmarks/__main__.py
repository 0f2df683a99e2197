"""Runs benchmarks by name, one after the other; ``--list`` names them.

See ``python -m benchmarks.NAME --help`` for the options of one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.readme import README, make_table, put_table
from benchmarks.running import BENCHMARKS, Answer, UnavailableError, benchmark_named, say


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.list:
        for name in BENCHMARKS:
            print(f"{name:<12} {(benchmark_named(name).__doc__ or '').splitlines()[0]}")
    elif given.readme:
        write_readme(given.readme, README)
    elif not given.names or set(given.names) - set(BENCHMARKS):
        parser.error(f"name one or more of {', '.join(BENCHMARKS)}")
    else:
        run_named(given.names, _shared(given), given.json)


def run_named(names: Sequence[str], shared: Sequence[str], report: Path | None) -> None:
    """Run benchmarks with the options that they share; options unknown to one are ignored for it."""
    answers: dict[str, Answer] = {}
    missing: list[str] = []
    for name in dict.fromkeys(names):
        benchmark = benchmark_named(name)
        options, unknown = benchmark.parser().parse_known_args(list(shared))
        say(f"{name}: measuring" + (f" ({' '.join(unknown)} is not for it)" if unknown else ""))
        try:
            answers[name] = benchmark.collect(options)
        except UnavailableError as error:
            missing.append(name)
            say(f"{name}: not measured: {error}")
            continue
        print(f"\n# {name}\n")
        benchmark.show(answers[name])
        if report:  # keep what is measured, whatever happens to the next one
            report.write_text(json.dumps(answers, indent=1))
    if missing:
        sys.exit(f"not measured: {', '.join(missing)}")


def write_readme(report: Path, readme: Path) -> None:
    """Write the table of a report into the README."""
    try:
        text = put_table(readme.read_text(), make_table(json.loads(report.read_text())))
    except ValueError as error:
        sys.exit(str(error))
    readme.write_text(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="What the package costs, as ratios that were measured in one run.",
        epilog="The other options of one: python -m benchmarks.NAME --help",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--list", action="store_true", help="say what each one measures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="put the table of such a FILE into README.md")
    parser.add_argument("--quick", action="store_true", help="a small case of each: it runs, its figures say little")
    parser.add_argument("--repeats", metavar="N", help="measurements of each contender")
    parser.add_argument("--work", metavar="DIR", help="keeps synthetic files for next time")
    return parser


def _shared(given: argparse.Namespace) -> list[str]:
    shared = ["--quick"] if given.quick else []
    for name in ("repeats", "work"):
        value = getattr(given, name)
        shared += [f"--{name}={value}"] if value else []
    return shared


if __name__ == "__main__":
    main()
