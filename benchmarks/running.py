"""The interface of every benchmark, with which ``python -m benchmarks`` runs it by name."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Protocol, cast

__all__ = [
    "BENCHMARKS",
    "Answer",
    "Benchmark",
    "Row",
    "UnavailableError",
    "benchmark_named",
    "default_engine",
    "make_parser",
    "run_alone",
    "say",
    "working",
]

BENCHMARKS: Final = (
    "chaos",
    "cold_start",
    "decode",
    "end_to_end",
    "export",
    "fuzz",
    "hourly_update",
    "memory",
    "notebook",
    "one_file",
    "race",
    "scale",
    "store_read",
    "watch_kills",
)
"""Each is a module of this package, and a :class:`Benchmark`."""

Answer = dict[str, Any]
"""What was found, as JSON carries it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the README's table."""

    what: str
    """What was done."""
    against: str
    """What it was compared with."""
    ratio: str
    """The other's cost over ours, or what the figure is a ratio of."""


class UnavailableError(RuntimeError):
    """Something that a benchmark needs cannot be had here; the text says how to get it."""


class Benchmark(Protocol):
    """A module that measures something."""

    __doc__: str | None

    def parser(self) -> argparse.ArgumentParser:
        """Give its options."""

    def collect(self, given: argparse.Namespace) -> Answer:
        """Measure."""

    def show(self, answer: Answer) -> None:
        """Print for people."""

    def readme_rows(self, answer: Answer) -> list[Row]:
        """Say what of it belongs into the README."""


def benchmark_named(name: str) -> Benchmark:
    """The module of that name, one of :data:`BENCHMARKS`."""
    return cast("Benchmark", import_module(f"benchmarks.{name}"))


def make_parser(
    name: str, doc: str | None, *, repeats: int = 0, quick: str = "", work: str = ""
) -> argparse.ArgumentParser:
    """A parser with the options that benchmarks share.

    Parameters
    ----------
    name : str
        Of the benchmark.
    doc : str
        Its docstring, whose first line describes it.
    repeats : int
        How often everything is measured; 0 for a benchmark that does it once.
    quick : str
        What ``--quick`` means; empty where there is none.
    work : str
        What ``--work`` keeps; empty where there is none.

    Returns
    -------
    argparse.ArgumentParser
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=(doc or "").splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measurement there")
    if repeats:
        parser.add_argument(
            "--repeats", type=int, default=repeats, help=f"measurements of each contender (default {repeats})"
        )
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    if work:
        parser.add_argument("--work", type=Path, metavar="DIR", help=f"keeps {work} for next time")
    return parser


def default_engine() -> str:
    """The decoder that is measured where nobody names one: ``auto`` where there is one."""
    from hrrr_dask.decode import ENGINES

    return "auto" if "auto" in ENGINES else "eccodes"


def run_alone(name: str, arguments: Sequence[str] | None = None) -> None:
    """Parse, measure, print: what ``python -m benchmarks.NAME`` does."""
    benchmark = benchmark_named(name)
    given = benchmark.parser().parse_args(arguments)
    try:
        answer = benchmark.collect(given)
    except UnavailableError as error:
        sys.exit(str(error))
    if given.json:
        given.json.write_text(json.dumps({name: answer}, indent=1))
    benchmark.show(answer)


@contextmanager
def working(directory: Path | None) -> Iterator[Path]:
    """A directory that is kept, or a temporary one."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        yield Path(temporary)


def say(text: str) -> None:
    """Talk, which is not the answer."""
    print(text, file=sys.stderr, flush=True)
