"""Draws flagged values as a picture: variables against time, and flags against time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.ledger.completeness import Columns
from hrrr_dask.report.drawing import draw_title, label_time, legend, swatch
from hrrr_dask.report.findings import ALL_FLAGS, NO_DATA, Findings
from hrrr_dask.report.quality_page import format_count, format_share
from hrrr_dask.report.results import Assessment

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
vision, the oranges by their darkness; one flagged value in a million already leaves the blue."""

ROW: Final = 0.27
"""Height of a variable or flag [inch]."""


def plot_flags(findings: Findings, found: Assessment, path: str | os.PathLike[str]) -> None:
    """Draw the flagged values of each variable over time, and the flags over time.

    Parameters
    ----------
    findings : Findings
        The counts. Columns are those of :func:`hrrr_dask.ledger.completeness.picture_columns`.
    found : Assessment
        Assessment, for the title.
    path : path
        PNG to write.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  only the plot needs matplotlib
    from matplotlib.figure import Figure  # noqa: PLC0415

    by_flag, looked = findings.counts.sum(axis=1), findings.looked.sum(axis=1)
    rows = [k for k, flag in enumerate(ALL_FLAGS) if by_flag[:, k].any() and flag.mask != NO_DATA]
    heights = [len(findings.variables), len(rows)] if rows else [len(findings.variables)]
    figure = Figure(figsize=(11, max(1.6 + ROW * sum(heights) + 0.15 * len(heights), 3.6)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    names = [variable.name for variable in findings.variables]
    _draw(panels[0], findings.columns, names, findings.counts[..., -1], findings.looked)
    if rows:
        _draw(panels[1], findings.columns, [ALL_FLAGS[k].name for k in rows], by_flag[:, rows], looked[:, None])
    keys = [swatch(colour, name) for _, name, colour in SHADES]
    if not findings.looked.all():
        keys.append(swatch("white", "no values"))
    legend(panels[0], keys, "values that are flagged")
    panels[0].get_legend().set_bbox_to_anchor((1.11, 1.0))
    label_time(panels[-1], findings.columns)
    share = f"{found.flagged:,} of {found.values:,} values are flagged ({format_share(found.flagged, found.values)})"
    draw_title(panels[0], found.store, f"{share}, at {format_count(found.n_points, 'point')}")
    figure.savefig(Path(path), dpi=120, format="png")


def _draw(
    axes: Axes, columns: Columns, names: Sequence[str], flagged: NDArray[np.int64], looked: NDArray[np.int64]
) -> None:
    """Draw one row for each name from top to bottom, with its total at the side; dims (column, row)."""
    from matplotlib.colors import ListedColormap  # noqa: PLC0415  see plot_flags
    from matplotlib.dates import date2num  # noqa: PLC0415

    axes.set_facecolor("white")
    axes.pcolormesh(
        date2num(columns.edges),  # type: ignore[no-untyped-call]
        np.arange(len(names) + 1) - 0.5,
        np.ma.masked_invalid(_shade_of(flagged, looked).T),
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


def _shade_of(flagged: NDArray[np.int64], looked: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the index into :data:`SHADES`, NaN where there are no values."""
    shade = np.searchsorted([most for most, _, _ in SHADES], flagged / np.maximum(looked, 1)).astype(np.float64)
    return np.where(looked == 0, np.nan, shade)
