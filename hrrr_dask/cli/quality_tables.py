"""Prints assessments of plausibility, as tables and as JSON."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from rich.table import Table

from hrrr_dask.report.quality_page import format_example, format_location, format_share, format_value
from hrrr_dask.report.results import Assessment

__all__ = ["assessment_answer", "assessment_tables"]


def assessment_tables(found: Assessment) -> list[Table]:
    """Format an assessment as tables: as a whole, by flag, by variable, and the most extreme values."""
    tables = [_assessed(found), _by_variable(found)]
    return [*tables, _by_flag(found), _extremes(found)] if found.flags else tables


def assessment_answer(found: Assessment) -> dict[str, Any]:
    """Return an assessment as JSON; numbers that are not finite are null.

    Every lead time is an integer: ``lead_hours`` if all lead times of the store are whole hours, else ``lead_minutes``.
    """

    def spelled(value: Any) -> Any:
        if isinstance(value, dict):
            return dict(spelled_item(key, item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return [spelled(item) for item in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    def spelled_item(key: str, item: Any) -> tuple[str, Any]:
        return ("lead_hours", item // 60) if key == "lead_minutes" and found.hourly else (key, spelled(item))

    answer: dict[str, Any] = spelled(asdict(found))
    return answer


def _assessed(found: Assessment) -> Table:
    table = Table(title="quality", title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    table.add_row("store", found.store)
    table.add_row("runs", f"{found.first_init_time:%Y-%m-%dT%H} to {found.last_init_time:%Y-%m-%dT%H}")
    table.add_row("points", f"{found.n_points:,}")
    table.add_row("files", f"{found.files:,}")
    table.add_row("values", f"{found.values:,}; {found.missing:,} are missing")
    table.add_row("flagged", f"{found.flagged:,} ({format_share(found.flagged, found.values)}); none is changed")
    if found.points:
        points = (
            f"{row.point_id} ({format_location(row.latitude, row.longitude)}) {row.flagged:,}" for row in found.points
        )
        table.add_row("most at", ", ".join(points))
        table.add_row("most in", ", ".join(f"{row.init_time:%Y-%m-%dT%H} {row.flagged:,}" for row in found.runs))
    return table


def _by_variable(found: Assessment) -> Table:
    table = _columns("variable", "unit", right=("minimum", "mean", "maximum", "missing", "flagged"))
    for row in found.variables:
        figures = ("-" if value is None else format_value(value) for value in (row.minimum, row.mean, row.maximum))
        missing = format_share(row.missing, row.values + row.missing) if row.missing else "-"
        table.add_row(row.name, row.units, *figures, missing, f"{row.flagged:,}" if row.flagged else "-")
    return table


def _by_flag(found: Assessment) -> Table:
    table = _columns("flag", "variable", right=("values", "points"))
    table.add_column("\nmost extreme")
    for row in found.flags:
        worst = format_example(row.worst, bare=True)
        table.add_row(row.flag, row.variable, f"{row.values:,}", f"{row.points:,}", worst)
    return table


def _extremes(found: Assessment) -> Table:
    table = _columns("the most extreme")
    table.add_column("\nflags")
    for one in found.examples:
        table.add_row(format_example(one), ", ".join(one.flags))
    return table


def _columns(*left: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in left:
        table.add_column(f"\n{name}", overflow="fold")
    for name in right:
        table.add_column(f"\n{name}", justify="right", no_wrap=True)
    return table
