"""Prints the tables of results, and of the costs of a plan."""

from __future__ import annotations

from collections.abc import Iterable

import rich.table
from rich.console import Console
from rich.text import Text

from hrrr_dask.display.figures import format_size
from hrrr_dask.display.tables import Table
from hrrr_dask.job.costs import Costs
from hrrr_dask.planning.plan import Plan

__all__ = ["plan_table", "print_tables"]


def print_tables(console: Console, tables: Iterable[Table]) -> None:
    """Print tables, with an empty line between them."""
    for number, table in enumerate(tables):
        if number:
            console.print()
        console.print(_rich_table(table))


def _rich_table(table: Table) -> rich.table.Table:
    made = rich.table.Table(
        title=Text(table.title, style="table.title"),
        title_justify="left",
        show_header=bool(table.columns),
        header_style="bold",
        box=None,
        pad_edge=False,
    )
    if not table.columns:
        made.add_column(style="bold", no_wrap=True)
        made.add_column(overflow="fold")
    for column in table.columns:
        made.add_column(
            Text(column.name),
            justify="right" if column.right else "left",
            no_wrap=column.right or column.whole,
            overflow="fold",
        )
    for row in table.rows:
        made.add_row(*map(Text, row))
    return made


def plan_table(plan: Plan, costs: Costs) -> Table:
    """Describe a plan and its costs."""
    (whole,) = plan.tables()
    size, requests = costs.series_bytes, costs.series_requests
    store = (
        f"about {costs.objects_a_year:,} objects and {format_size(costs.stored_bytes_a_year)} a year; "
        f"one point's year of a variable is {requests} requests, {format_size(size)}"
    )
    update = (
        f"one run is {format_size(costs.update_new_bytes)} of values; its update writes "
        f"{format_size(costs.update_mean_bytes)} on average ({_ratio(costs.update_mean_bytes, costs)}) and "
        f"{format_size(costs.update_most_bytes)} at most ({_ratio(costs.update_most_bytes, costs)})"
    )
    return Table(whole.title, (*whole.rows, ("store", store), ("update", update), ("work", _work(costs))))


def _ratio(n_bytes: int, costs: Costs) -> str:
    return f"{n_bytes / max(costs.update_new_bytes, 1):,.3g} times the values"


def _work(costs: Costs) -> str:
    calibration = costs.calibration
    basis = "measured" if calibration.measured else "assumed; measure with --calibrate"
    return (
        f"about {costs.core_hours:,.3g} core-hours with {calibration.engine} "
        f"({calibration.seconds_per_message * 1000:.3g} ms a message, {basis}), "
        f"{costs.dollars:,.3g} dollars at {costs.dollars_per_core_hour:g} a core-hour"
    )
