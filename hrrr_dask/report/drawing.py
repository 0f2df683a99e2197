"""Shared parts of the pictures: time axis, legends, titles."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.ledger.completeness import Columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SHARE_TICKS", "draw_title", "label_time", "legend", "root", "swatch"]

MAX_LABELLED_COLUMNS: Final = 100
"""Number of columns up to which every n-th is labelled below its centre."""

SHARE_TICKS: Final = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
"""Possible ticks on an axis of shares [%]."""


def root(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale an axis so that one per cent is visible beside a hundred."""
    return np.sqrt(np.maximum(values, 0))


def swatch(colour: str, label: str) -> Any:
    """Make one entry of a legend."""
    from matplotlib.patches import Patch  # noqa: PLC0415  only the plot needs matplotlib

    return Patch(facecolor=colour, edgecolor="#888888", linewidth=0.4, label=label)


def legend(axes: Axes, keys: list[Any], title: str) -> None:
    """Draw a legend to the right of its panel."""
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


def label_time(axes: Axes, columns: Columns) -> None:
    """Label the time axis; runs and days are labelled below their centre if there is room."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num  # noqa: PLC0415  see swatch

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
        _tick_names([moment.item() for moment in starts[::step]], by_hour=columns.unit == "run"),
    )


def _tick_names(moments: Sequence[datetime], *, by_hour: bool) -> list[str]:
    """Format hours with the day, or days with the month, below the first of each."""
    fine, coarse = ("%H", "%d %b %Y") if by_hour else ("%d", "%b %Y")
    names, before = [], ""
    for moment in moments:
        group = f"{moment:{coarse}}"
        names.append(f"{moment:{fine}}" + (f"\n{group}" if group != before else ""))
        before = group
    return names


def draw_title(axes: Axes, title: str, line: str) -> None:
    """Draw a title of any length, and a line below it."""
    shown = title if len(title) <= 90 else f"{title[:30]}…{title[-59:]}"
    axes.set_title(shown, loc="left", pad=24, fontsize=12, fontweight="bold", parse_math=False)
    axes.annotate(line, (0, 1), xytext=(0, 7), xycoords="axes fraction", textcoords="offset points", fontsize=10)
