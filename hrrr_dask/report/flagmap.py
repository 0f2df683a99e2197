"""Plots flagged values: a heat map of each variable over time, and of each flag over time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.display.figures import format_count, format_share
from hrrr_dask.ledger.completeness import Columns
from hrrr_dask.report.assessment import Assessment
from hrrr_dask.report.drawing import draw_legend, draw_title, label_time_axis, legend_entry
from hrrr_dask.report.findings import ALL_FLAGS, NO_DATA, QualityFindings

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SHADES", "plot_flags"]

SHADES: Final = (
    (0.0, "none", "#d7e5f0"),
    (1e-5, "up to 0.001 %", "#fdebc0"),
    (1e-4, "up to 0.01 %", "#fbc775"),
    (1e-3, "up to 0.1 %", "#f0953a"),
    (1e-2, "up to 1 %", "#cd5a1d"),
    (1e-1, "up to 10 %", "#8f2f06"),
    (np.inf, "more", "#401300"),
)
"""Upper limit of the share of flagged values, label and colour. Blue and orange are distinguishable with any colour
vision, the oranges by their darkness. Blue means no flagged value: one in a million is already orange."""

ROW: Final = 0.27
"""Height of the row of a variable or flag [inch]."""


def plot_flags(findings: QualityFindings, found: Assessment, path: str | os.PathLike[str]) -> None:
    """Plot the share of flagged values by variable over time, and by flag over time.

    Parameters
    ----------
    findings : QualityFindings
        The counts. The plot has the columns of :func:`hrrr_dask.ledger.completeness.picture_columns`.
    found : Assessment
        The assessment, for the title.
    path : path
        PNG to write.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  only plots need matplotlib
    from matplotlib.figure import Figure  # noqa: PLC0415

    by_flag, n_values = findings.flag_counts.sum(axis=1), findings.value_counts.sum(axis=1)
    rows = [k for k, flag in enumerate(ALL_FLAGS) if by_flag[:, k].any() and flag.mask != NO_DATA]
    heights = [len(findings.variables), len(rows)] if rows else [len(findings.variables)]
    figure = Figure(figsize=(11, max(1.6 + ROW * sum(heights) + 0.15 * len(heights), 3.6)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    names = [variable.name for variable in findings.variables]
    _draw_rows(panels[0], findings.columns, names, findings.flag_counts[..., -1], findings.value_counts)
    if rows:
        _draw_rows(panels[1], findings.columns, [ALL_FLAGS[k].name for k in rows], by_flag[:, rows], n_values[:, None])
    keys = [legend_entry(colour, name) for _, name, colour in SHADES]
    if not findings.value_counts.all():
        keys.append(legend_entry("white", "no values"))
    draw_legend(panels[0], keys, "flagged values")
    panels[0].get_legend().set_bbox_to_anchor((1.11, 1.0))
    label_time_axis(panels[-1], findings.columns)
    share = f"{found.flagged:,} of {found.values:,} values are flagged ({format_share(found.flagged, found.values)})"
    draw_title(panels[0], found.store, f"{share}, at {format_count(found.n_points, 'point')}")
    figure.savefig(Path(path), dpi=120, format="png")


def _draw_rows(
    axes: Axes, columns: Columns, names: Sequence[str], flagged: NDArray[np.int64], n_values: NDArray[np.int64]
) -> None:
    """Draw one row per name from top to bottom, with its total to the right; counts have dims (column, row)."""
    from matplotlib.colors import ListedColormap  # noqa: PLC0415  see plot_flags
    from matplotlib.dates import date2num  # noqa: PLC0415

    axes.set_facecolor("white")
    axes.pcolormesh(
        date2num(columns.edges),  # type: ignore[no-untyped-call]
        np.arange(len(names) + 1) - 0.5,
        np.ma.masked_invalid(_shade_index(flagged, n_values).T),
        cmap=ListedColormap([colour for _, _, colour in SHADES]),
        vmin=-0.5,
        vmax=len(SHADES) - 0.5,
        edgecolors="white" if columns.n <= 62 else "none",
        linewidth=0.4 if columns.n <= 62 else 0.0,
    )
    for edge in range(1, len(names)):  # separate rows where cells are too narrow for borders
        axes.axhline(edge - 0.5, color="white", linewidth=1.2)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), list(names), fontsize=8.5)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_visible(False)
    for row, total in enumerate(flagged.sum(axis=0).tolist()):
        axes.annotate(
            f"{total:,}" if total else "-",
            (1.095, row),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="center",
            fontsize=8.5,
            color="#222222" if total else "#999999",
        )


def _shade_index(flagged: NDArray[np.int64], n_values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return positions in :data:`SHADES`, NaN where there are no values."""
    shade = np.searchsorted([limit for limit, _, _ in SHADES], flagged / np.maximum(n_values, 1)).astype(np.float64)
    return np.where(n_values == 0, np.nan, shade)
