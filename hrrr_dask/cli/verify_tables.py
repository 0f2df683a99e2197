"""Prints the results of `verify` as tables: counts, then differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from hrrr_dask.report.differences import DIFFERENCES, MAX_LISTED, Difference, VerifyReport

__all__ = ["live_count", "verify_tables"]

_AGAINST: Final = {"archive": "archive", "checksums": "ledger's checksums"}
MAX_NAMED_FILES: Final = 2
"""Maximum number of variables named in a row; --json names all."""

_TITLES: Final = {"equal": "equal", "different": "different", "not-checked": "equal, as far as could be checked"}


@contextmanager
def live_count(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar of files inside the block; appears with the first file."""
    columns = (TextColumn("files"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task("files", total=None)

    def show(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def verify_tables(report: VerifyReport) -> list[Table]:
    """Format a comparison as tables: as a whole, then each difference."""
    tables = [_figures(report)]
    if report.differences:
        tables.append(_differences(report))
    if report.unchecked:
        tables.append(_unchecked(report))
    if report.healed:
        tables.append(_healed(report))
    return tables


def _figures(report: VerifyReport) -> Table:
    table = Table(title=_TITLES[report.outcome], title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    drawn = "" if report.seed is None else f", drawn with --seed {report.seed}"
    table.add_row("store", report.store)
    table.add_row(
        "files", f"{report.files:,} of {report.files_in_store:,}{drawn}; {report.bytes_read / 1e6:,.1f} MB read"
    )
    table.add_row(
        "values",
        f"{report.values_compared:,} compared with the {_AGAINST[report.against]}: {report.values_equal:,} equal, "
        f"{report.values_differing:,} different",
    )
    if report.gap_values:
        table.add_row("gaps", f"{_values(report.gap_values)} missing, as in the ledger" + _but(report))
    table.add_row("time", f"{report.seconds:.1f} s")
    for kind, count in report.counts.items():
        table.add_row("differs", f"{_values(count)} {kind}: {DIFFERENCES[kind]}")
    if report.unchecked_values:
        table.add_row("not checked", _values(report.unchecked_values))
    return table


def _but(report: VerifyReport) -> str:
    count = report.counts.get("value-in-a-gap", 0)
    return f", except {count:,}" if count else ""


def _differences(report: VerifyReport) -> Table:
    table = _list(_first("differences", sum(report.counts.values()), report.differences))
    for name in ("file", "variable", "point"):
        table.add_column(name, no_wrap=name == "file", overflow="fold")
    for name in ("store", "expected"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what", overflow="fold")
    for each, variables in _group_by_cause(report.differences):
        who = each.point_id or (_values(each.values) if each.values > 1 else "")
        what = f"{each.kind}: {each.note}" if each.note else each.kind
        table.add_row(each.file, _some(variables), who, _spelled(each.store), _spelled(each.expected), what)
    return table


def _group_by_cause(differences: tuple[Difference, ...]) -> list[tuple[Difference, list[str]]]:
    """Group differences of one file with the same cause into one row."""
    rows: list[tuple[Difference, list[str]]] = []
    for each in differences:
        last = rows[-1][0] if rows else None
        if (
            last is not None
            and not each.point_id
            and (last.file, last.kind, last.note) == (each.file, each.kind, each.note)
        ):
            rows[-1][1].append(each.variable)
        else:
            rows.append((each, [each.variable]))
    return rows


def _unchecked(report: VerifyReport) -> Table:
    table = _list("not checked")
    for name in ("file", "variables", "reason", "what"):
        table.add_column(name, no_wrap=name == "file", overflow="fold")
    for each in report.unchecked:
        table.add_row(each.file, _some(each.variables), each.reason, each.note)
    return table


def _healed(report: VerifyReport) -> Table:
    table = _list(
        _first("gaps that the archive can fill now: hrrr-dask backfill --retry-gaps", report.healed_gaps, report.healed)
    )
    for name in ("file", "variable", "was"):
        table.add_column(name, no_wrap=name == "file")
    for each in report.healed:
        table.add_row(each.file, each.variable, each.reason)
    return table


def _first(title: str, count: int, listed: Sequence[object]) -> str:
    return title if len(listed) < MAX_LISTED else f"{title} (the first {len(listed)}, {count:,} in all)"


def _list(title: str) -> Table:
    return Table(title=f"\n{title}", title_justify="left", box=None, pad_edge=False, header_style="bold")


def _some(variables: Sequence[str]) -> str:
    return ", ".join(variables) if len(variables) <= MAX_NAMED_FILES else f"{len(variables)} variables"


def _values(count: int) -> str:
    return f"{count:,} value{'' if count == 1 else 's'}"


def _spelled(value: float | str | None) -> str:
    return "-" if value is None else str(value)
