"""Draws the parts that all plots share: time axis, legend, title."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.ledger.completeness import Columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SHARE_TICKS", "draw_legend", "draw_title", "label_time_axis", "legend_entry", "square_root"]

MAX_LABELLED_COLUMNS: Final = 100
"""Maximum number of columns for which every n-th column is labelled below its centre."""

SHARE_TICKS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
"""Possible ticks of an axis of percentages [%]."""


def square_root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale an axis so that 1 % is visible beside 100 %; negative values become 0."""
    return np.sqrt(np.maximum(values, 0))


def legend_entry(colour: str, label: str) -> Any:
    """Make one entry of a legend."""
    from matplotlib.patches import Patch  # noqa: PLC0415  only plots need matplotlib

    return Patch(facecolor=colour, edgecolor="#888888", linewidth=0.4, label=label)


def draw_legend(axes: Axes, keys: list[Any], title: str) -> None:
    """Draw a legend to the right of a panel."""
    axes.legend(
        handles=keys,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize=8.5,
        title_fontsize=8.5,
        alignment="left",
    )


def label_time_axis(axes: Axes, columns: Columns) -> None:
    """Label the time axis: runs and days below the centre of their column, if there are few columns."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num  # noqa: PLC0415  see legend_entry

    axes.set_xlim(*date2num(columns.edges[[0, -1]]))  # type: ignore[no-untyped-call]
    axes.set_xlabel("init time [UTC]")
    if columns.unit == "month" or columns.n > MAX_LABELLED_COLUMNS:
        locator = AutoDateLocator(minticks=3)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        return
    middles = columns.edges[:-1] + np.diff(columns.edges) // 2
    starts = middles if columns.unit == "run" else columns.edges[:-1]
    step = -(-columns.n // 16)
    axes.set_xticks(
        date2num(middles[::step]),  # type: ignore[no-untyped-call]
        _format_ticks([moment.item() for moment in starts[::step]], by_hour=columns.unit == "run"),
    )


def _format_ticks(moments: Sequence[datetime], *, by_hour: bool) -> list[str]:
    """Format hours (or days); the first of each day (or month) has the date below."""
    fine, coarse = ("%H", "%d %b %Y") if by_hour else ("%d", "%b %Y")
    labels, previous = [], ""
    for moment in moments:
        group = f"{moment:{coarse}}"
        labels.append(f"{moment:{fine}}" + (f"\n{group}" if group != previous else ""))
        previous = group
    return labels


def draw_title(axes: Axes, title: str, subtitle: str) -> None:
    """Draw a title and a subtitle; a long title is shortened in the middle."""
    shortened = title if len(title) <= 90 else f"{title[:30]}…{title[-59:]}"
    axes.set_title(shortened, loc="left", pad=24, fontsize=12, fontweight="bold", parse_math=False)
    axes.annotate(subtitle, (0, 1), xytext=(0, 7), xycoords="axes fraction", textcoords="offset points", fontsize=10)
