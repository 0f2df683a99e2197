"""Writes the README's table of ratios from the output of ``python -m benchmarks --json FILE``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.running import Answer, benchmark_named

__all__ = ["BEGIN", "END", "README", "make_table", "put_table"]

README: Final = Path(__file__).parents[1] / "README.md"

BEGIN: Final = "<!-- benchmarks: begin, written by python -m benchmarks --readme FILE.json -->"
END: Final = "<!-- benchmarks: end -->"


def make_table(answers: Mapping[str, Answer]) -> str:
    """A table of the benchmarks that have something for the README, and under what circumstances it was measured.

    Parameters
    ----------
    answers : mapping of str to dict
        Name of a benchmark to what it found.

    Raises
    ------
    ValueError
        If nothing of it belongs into the README.
    """
    rows = [row for name, answer in answers.items() for row in benchmark_named(name).readme_rows(answer)]
    if not rows:
        raise ValueError(f"nothing that was measured belongs into the README: {', '.join(answers) or 'no benchmark'}")
    lines, above = ["| what | compared with | ratio |", "|---|---|---|"], ""
    for row in rows:
        lines.append(f"| {'' if row.what == above else row.what} | {row.against} | {row.ratio} |")
        above = row.what
    machines = dict.fromkeys(_about(answer, "machine").partition(", load")[0] for answer in answers.values())
    return "\n".join([*lines, "", f"Measured on {'; '.join(machine for machine in machines if machine)}."])


def put_table(text: str, table: str) -> str:
    """A README with the table between its markers, instead of what stood there.

    Raises
    ------
    ValueError
        If it does not have both markers, once and in their order.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in before + after:
        raise ValueError(f"the README has no place for the table: it needs {BEGIN} and, below it, {END}, each once")
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def _about(answer: Answer, name: str) -> str:
    return str(answer.get("about", answer).get(name, ""))
