"""Plots the completeness of a store: a heat map of init time against lead time, and the reasons for gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.ledger.completeness import (
    REASONS,
    Columns,
    check_times,
    count_values,
    file_states,
    picture_columns,
)
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, PARTIAL
from hrrr_dask.report.drawing import SHARE_TICKS, draw_legend, draw_title, label_time_axis, legend_entry, square_root

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["label_lead_times", "plot_status"]

Rows = Literal["lead_time", "cycle"]

SHADES: Final = (
    ("all", "#2f6da3"),
    ("99 % and more", "#82b1d6"),
    ("90 to 99 %", "#c9dff0"),
    ("50 to 90 %", "#fbd9a0"),
    ("less than half", "#ec8a2e"),
    ("none", "#8c2d04"),
    ("all read so far", "#a3aebb"),
    ("not read yet", "#dadada"),
)
"""Share of available values and its colour. Blue and orange are distinguishable with any colour vision; the darkest
blue means that no value is missing."""

ALL, NONE, ALL_SO_FAR, UNREAD = 0, 5, 6, 7
"""Positions in :data:`SHADES`."""

REASON_COLOURS: Final = {
    "not-published": "#d55e00",
    "message-not-found": "#0072b2",
    "truncated": "#009e73",
    "unreachable": "#e69f00",
    "decode-failed": "#cc79a7",
    "wrong-identity": "#56b4e9",
    "access-denied": "#000000",
    "ambiguous-message": "#f0e442",
    "internal-error": "#7f7f7f",
    "poisoned": "#882255",
}
"""Colour of each reason, the same in every plot: Okabe and Ito (2008), Color Universal Design; one of Tol (2021)."""

OTHER_COLOUR: Final = "#b9a2d8"
"""Colour of any other reason."""


def plot_status(
    codes: NDArray[np.uint8],
    init_times: NDArray[np.datetime64],
    lead_minutes: Sequence[int],
    title: str,
    path: str | Path,
    *,
    rows: Rows = "lead_time",
) -> None:
    """Plot the completeness of a store by init time and lead time (or cycle), and the reasons for gaps below.

    Parameters
    ----------
    codes : ndarray of uint8, dims (variable, init_time, lead_time)
        Outcome numbers.
    init_times : ndarray of datetime64, dims (init_time,)
        Ascending, UTC. The plot has the columns of :func:`hrrr_dask.ledger.completeness.picture_columns`.
    lead_minutes : sequence of int
        Lead times [min].
    title : str
        Title, for example the store's URL.
    path : str or Path
        PNG to write.
    rows : {"lead_time", "cycle"}
        Quantity on the vertical axis.

    Raises
    ------
    ValueError
        If the shapes of the arrays do not match, or if there are no init times.
    OSError
        If the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  only plots need matplotlib
    from matplotlib.figure import Figure  # noqa: PLC0415

    times = check_times(codes, init_times)
    if not len(times) or len(lead_minutes) != codes.shape[2]:
        raise ValueError(
            f"a plot needs at least one init time and {codes.shape[2]} lead times, "
            f"not {len(times)} and {len(lead_minutes)}"
        )
    cycle_hours = times.astype("datetime64[h]").astype(np.int64) % 24
    cycles, cycle_of_run = np.unique(cycle_hours, return_inverse=True)
    if rows == "lead_time":
        row_of, n_rows = np.arange(len(lead_minutes))[None], len(lead_minutes)
        labels, axis_label = label_lead_times(lead_minutes)
    else:
        row_of, n_rows = cycle_of_run.reshape(-1, 1), len(cycles)
        labels, axis_label = {k: str(cycle) for k, cycle in enumerate(cycles)}, "cycle [h UTC]"
    columns = picture_columns(times)
    counts = count_values(codes, columns, row_of, n_rows)
    reasons = [outcome.number for outcome in REASONS if counts[..., outcome.number].any()]

    tall = min(max(1.6 + 0.16 * n_rows, 2.4), 6.0)
    figure = Figure(figsize=(11, tall + (2.6 if reasons else 1.0)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(
        2 if reasons else 1, 1, sharex=True, squeeze=False, height_ratios=[tall, 1.5] if reasons else [1]
    )[:, 0]
    _draw_map(panels[0], counts, columns, labels, axis_label)
    if reasons:
        _draw_reasons(panels[1], counts.sum(axis=1), columns, reasons)
    label_time_axis(panels[-1], columns)
    noun = "lead times" if any(lead % 60 for lead in lead_minutes) else "files"
    draw_title(panels[0], title, _count_states(codes, noun))
    figure.savefig(Path(path), dpi=120, format="png")


def label_lead_times(lead_minutes: Sequence[int]) -> tuple[dict[int, str], str]:
    """Label the rows of full hours, or all rows if fewer than two of several are full hours.

    Returns
    -------
    labels : dict of int to str
        Position of a lead time to its label.
    axis_label : str
        Label of the axis, with the unit.

    Examples
    --------
    >>> label_lead_times([0, 15, 30, 45, 60])
    ({0: '0', 4: '1'}, 'lead time [h]')
    >>> label_lead_times([45, 60, 75])
    ({0: '0:45', 1: '1:00', 2: '1:15'}, 'lead time [h:min]')
    """
    full_hours = {k: f"{lead // 60}" for k, lead in enumerate(lead_minutes) if lead % 60 == 0}
    if len(full_hours) >= min(2, len(lead_minutes)):
        return full_hours, "lead time [h]"
    return {k: f"{lead // 60}:{lead % 60:02d}" for k, lead in enumerate(lead_minutes)}, "lead time [h:min]"


def _count_states(codes: NDArray[np.uint8], noun: str) -> str:
    wanted, complete, gapped = (int(files.sum()) for files in file_states(codes))
    # Rounded down, so that 100 % means complete.
    share = f" ({np.floor(1000 * complete / wanted) / 10:.1f} %)" if wanted else ""
    return (
        f"{complete:,} of {wanted:,} {noun} complete{share}, {gapped:,} with gaps, {wanted - complete - gapped:,} to do"
    )


def _shade_index(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return positions in :data:`SHADES`, NaN where the archive offers nothing; counts have dims (…, outcome)."""
    wanted = counts.sum(axis=-1) - counts[..., NOT_OFFERED]
    complete, untouched = counts[..., COMPLETE], counts[..., NOT_INGESTED] + counts[..., PARTIAL]
    share = complete / np.maximum(wanted, 1)
    shade = np.select(
        [
            wanted == 0,
            untouched == wanted,
            complete == wanted,
            complete + untouched == wanted,
            share >= 0.99,
            share >= 0.9,
            share >= 0.5,
            complete > 0,
        ],
        [np.nan, UNREAD, ALL, ALL_SO_FAR, 1, 2, 3, 4],
        NONE,
    )
    return np.asarray(shade, dtype=np.float64)


def _draw_map(
    axes: Axes, counts: NDArray[np.int64], columns: Columns, labels: Mapping[int, str], axis_label: str
) -> None:
    from matplotlib.colors import ListedColormap  # noqa: PLC0415  see plot_status
    from matplotlib.dates import date2num  # noqa: PLC0415

    shade = _shade_index(counts)
    n_rows = counts.shape[1]
    has_borders = columns.n <= 62 and n_rows <= 49
    axes.set_facecolor("white")
    axes.pcolormesh(
        date2num(columns.edges),  # type: ignore[no-untyped-call]
        np.arange(n_rows + 1) - 0.5,
        np.ma.masked_invalid(shade.T),
        cmap=ListedColormap([colour for _, colour in SHADES]),
        vmin=-0.5,
        vmax=len(SHADES) - 0.5,
        edgecolors="white" if has_borders else "none",
        linewidth=0.4 if has_borders else 0.0,
    )
    step = max(1, -(-len(labels) // 13))
    step = next((nice for nice in (1, 2, 3, 6, 12) if nice >= step), step)
    axes.set_yticks(list(labels)[::step], list(labels.values())[::step])
    axes.set_ylabel(axis_label)
    keys = [legend_entry(colour, name) for k, (name, colour) in enumerate(SHADES) if (shade == k).any()]
    if np.isnan(shade).any():
        keys.append(legend_entry("white", "not in the archive"))
    draw_legend(axes, keys, "available values")


def _draw_reasons(axes: Axes, counts: NDArray[np.int64], columns: Columns, reasons: Sequence[int]) -> None:
    """Draw the percentage of missing values in each column, stacked by reason."""
    from matplotlib.dates import date2num  # noqa: PLC0415  see plot_status

    wanted = np.maximum(counts.sum(axis=1) - counts[:, NOT_OFFERED], 1)
    edges = date2num(columns.edges)  # type: ignore[no-untyped-call]
    names = {outcome.number: outcome.name for outcome in REASONS}
    base = np.zeros(columns.n)
    keys = []
    for number in sorted(reasons, key=lambda number: -int(counts[:, number].sum())):
        colour = REASON_COLOURS.get(names[number], OTHER_COLOUR)
        top = base + 100 * counts[:, number] / wanted
        drawn = np.where(counts[:, number] > 0, top, np.nan)
        axes.stairs(drawn, edges, baseline=base, fill=True, facecolor=colour, linewidth=0)
        keys.append(legend_entry(colour, f"{names[number]} {int(counts[:, number].sum()):,}"))
        base = top
    axes.set_yscale("function", functions=(square_root, np.square))
    highest = min(1.2 * float(base.max()), 103.0)
    axes.set_ylim(0, highest)
    axes.set_yticks([tick for tick in SHARE_TICKS if highest / 70 < tick <= highest])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel("missing [%]\n(square-root scale)")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    draw_legend(axes, keys, "missing values")
