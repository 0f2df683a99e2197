"""Pictures of a place's forecasts, along valid time and by lead time, in colours for the colour-blind too."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from hrrr_dask.errors import ConfigError, PointsError, UsageError
from hrrr_dask.read.forecasts import newest_runs
from hrrr_dask.read.gather import RUN_DIMS, Runs
from hrrr_dask.read.skill import Truth, errors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["RunChoice", "plot_leads", "plot_runs"]

RunChoice = int | str | slice | Sequence[Any] | None
"""Number of newest runs; or what ``sel(init_time=…)`` takes: a day, a slice, a list of times; None for all."""

_ORANGE, _BLUE = "#D55E00", "#0072B2"  # of Okabe and Ito 2008, https://jfly.uni-koeln.de/color

_CONVERSIONS: Final = {
    ("K", "degC"): (1.0, -273.15),
    ("K", "degF"): (1.8, -459.67),
    ("m s-1", "km h-1"): (3.6, 0.0),
    ("m s-1", "knot"): (3600 / 1852, 0.0),
    ("m s-1", "mph"): (3600 / 1609.344, 0.0),
    ("Pa", "hPa"): (0.01, 0.0),
    ("kg m-2", "mm"): (1.0, 0.0),
}
"""Units from, to: factor and offset."""

_PRETTY: Final = {
    "degC": "°C",
    "degF": "°F",
    "m s-1": "m/s",
    "km h-1": "km/h",
    "W m-2": "W/m²",
    "kg m-2": "kg/m²",
    "degree": "°",
    "1": "",
}


def plot_runs(
    ds: xr.Dataset,
    variable: str,
    point: str | None = None,
    *,
    runs: RunChoice = 12,
    units: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot every run's forecast at a place along valid time: one line for each run, the newest darkest.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one.
    variable : str
        Name of a variable.
    point : str, optional
        Its ``point_id``; not needed if the dataset has one point.
    runs : int, str, slice, sequence or None
        The newest runs that were read, 12 by default; or what ``sel(init_time=…)`` takes, such as ``"2024-07-01"``; or
        None for all. Only these are drawn, and the analyses of the time that they span.
    units : str
        Units to convert to, in the spelling of UDUNITS, such as ``"degC"`` or ``"km h-1"``; by default the dataset's.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        With a line for each run, and the analyses (lead time 0) as dots if the dataset has them.

    Raises
    ------
    ConfigError
        If units cannot be converted.
    PointsError
        If the point is not in the dataset, or needed and not given.
    UsageError
        If there is no such variable, or no such runs.

    Examples
    --------
    >>> ax = ds.hrrr.plot_runs("temperature_2m", "roscoe", units="degC")
    >>> ax.figure.savefig("runs.png")
    """
    one, times = _one(ds, variable, point)
    chosen = _choose(ds, times.inits, runs)
    order = chosen[np.argsort(times.inits[chosen], kind="stable")]
    convert, label = _units(one, units)
    lines = convert(one.isel(init_time=order).compute().transpose("init_time", "lead_time").values)
    valid = times.inits[order, None] + times.leads
    ax = _axes(ax)
    shades = _shades(len(order))
    rank = np.argsort(times.leads, kind="stable")
    dotted = "." if len(times.leads) == 1 else ""
    for k, shade in enumerate(shades):
        said = {0: "oldest", len(order) - 1: "newest"}.get(k) if len(order) > 1 else "run"
        text = f"{said}: {_time_text(times.inits[order[k]])}" if said else f"_{k}"  # matplotlib hides a label with _
        ax.plot(valid[k, rank], lines[k, rank], color=shade, linewidth=1.6, marker=dotted, label=text)
    zero = np.flatnonzero(times.leads == np.timedelta64(0))
    if len(zero):
        spanned = np.flatnonzero((times.inits >= valid.min()) & (times.inits <= valid.max()))
        actual = one.isel(init_time=spanned, lead_time=zero[0]).compute().values
        style: dict[str, Any] = {"color": _ORANGE, "markersize": 4.5, "linestyle": "", "zorder": 3}
        ax.plot(times.inits[spanned], convert(actual), "o", label="analysis (lead time 0)", **style)
    _finish(ax, title=_place(one), ylabel=label)
    _date_axis(ax, "valid time (UTC)")
    _legend(ax)
    return ax


def plot_leads(
    ds: xr.Dataset,
    variable: str,
    point: str | None = None,
    *,
    kind: Literal["values", "errors"] | None = None,
    truth: Truth | None = None,
    runs: RunChoice = None,
    units: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Plot a place's forecasts by lead time: the values of all runs as a picture, or their errors as lines.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one.
    variable : str
        Name of a variable.
    point : str, optional
        Its ``point_id``; not needed if the dataset has one point.
    kind : {"values", "errors"}, optional
        ``"values"``, the default without ``truth``: a colour for each run (along x) and lead time (along y), which
        plain ``.plot()`` cannot draw because lead times are durations; grey where there is no value. ``"errors"``, the
        default with ``truth``: root mean square error and bias of :func:`hrrr_dask.read.skill.errors` by lead time.
    truth : xarray.DataArray, xarray.Dataset, pandas.DataFrame or None
        Observations, as for :func:`hrrr_dask.read.skill.errors`; None is the analysis (lead time 0).
    runs : int, str, slice, sequence or None
        As for :func:`plot_runs`; None, the default, for all. Errors against the analysis need those of later runs too:
        only runs among these count.
    units : str
        Units to convert to, in the spelling of UDUNITS, such as ``"degC"`` or ``"km h-1"``; by default the dataset's.
    ax : matplotlib.axes.Axes, optional
        Axes to draw on; by default those of a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        The drawing.

    Raises
    ------
    ConfigError
        If units cannot be converted, or the kind is unknown.
    PointsError
        If the point is not in the dataset, or needed and not given.
    UsageError
        If there is no such variable, no such runs, or nothing to compare with.

    Examples
    --------
    >>> ax = ds.hrrr.plot_leads("temperature_2m", "roscoe", kind="errors")
    >>> ax.figure.savefig("errors.png")
    """
    kind = kind or ("values" if truth is None else "errors")
    if kind not in ("values", "errors") or (kind == "values" and truth is not None):
        raise ConfigError(f"kind={kind!r} is not a picture that can be drawn: give 'values' (no truth), or 'errors'")
    one, times = _one(ds, variable, point)
    chosen = np.sort(_choose(ds, times.inits, runs))
    one = one.isel(init_time=chosen)
    inits = times.inits[chosen]
    if kind == "errors":
        return _draw_errors(one.to_dataset(), truth, units, ax)
    convert, label = _units(one, units)
    rows = np.argsort(times.leads, kind="stable")
    values = convert(one.compute().transpose("lead_time", "init_time").values)[rows]
    axis, columns = _regular(inits)
    spread = np.full((len(rows), len(axis)), np.nan)
    spread[:, columns] = values
    ax = _axes(ax)
    hours = times.leads[rows] / np.timedelta64(1, "h")
    half = (axis[1] - axis[0] if len(axis) > 1 else np.timedelta64(60, "m")) // 2
    edges = np.concatenate([axis - half, axis[-1:] + half])
    ax.set_facecolor("0.85")
    shown = np.ma.masked_invalid(spread)
    mesh = ax.pcolormesh(edges, _edges(hours), shown, cmap="viridis", shading="flat", rasterized=True)
    bar = ax.figure.colorbar(mesh, ax=ax, pad=0.02)
    bar.set_label(label)
    _finish(ax, title=_place(one), ylabel="lead time (h)")
    ax.grid(visible=False)
    _hour_axis(ax.yaxis)
    _date_axis(ax, "start of the run (UTC)" + ("; grey: no value" if shown.mask.any() else ""))
    return ax


def _draw_errors(one: xr.Dataset, truth: Truth | None, units: str, ax: Axes | None) -> Axes:
    name = next(iter(one.data_vars))
    found = errors(one, truth, members=0).compute()
    found = found.isel(lead_time=np.flatnonzero(found.n.values))
    if not found.sizes["lead_time"]:
        raise UsageError(f"no forecast of {name} has a true value beside it: select more runs, or another time")
    convert, label = _units(one[name], units)
    ax = _axes(ax)
    hours = found.lead_time.values / np.timedelta64(1, "h")
    factor = convert(1.0) - convert(0.0)  # of a difference
    quantity, _, unit = label.rpartition(" (")
    ax.axhline(0, color="0.4", linewidth=0.8)
    ax.plot(hours, found.rmse * factor, "o-", color=_BLUE, markersize=4, label="root mean square error")
    ax.plot(hours, found.bias * factor, "s--", color=_ORANGE, markersize=4, label="bias (forecast minus truth)")
    fewest, most = int(found.n.values.min()), int(found.n.values.max())
    number = f"{most}" if fewest == most else f"{fewest} to {most}"
    against = "the analysis" if truth is None else "observations"
    _finish(ax, title=f"{_place(one[name])}: {quantity or label}", ylabel=f"error ({unit}" if quantity else "error")
    ax.set_xlabel(f"lead time (h); against {against}, {number} pairs each")
    _hour_axis(ax.xaxis)
    _legend(ax)
    return ax


def _one(ds: xr.Dataset, variable: str, point: str | None) -> tuple[xr.DataArray, Runs]:
    """Return one variable at one point, dims (init_time, lead_time), and its times."""
    times = Runs.of(ds)
    if variable not in ds.data_vars:
        known = [str(name) for name in ds.data_vars]
        near = difflib.get_close_matches(str(variable), known, n=3, cutoff=0.5) or known
        raise UsageError(f"variable {variable!r} is not in this dataset: give one such as {', '.join(near) or 'none'}")
    one = ds[variable]
    ids = [str(name) for name in np.atleast_1d(one.coords.get("point_id", "…"))]
    if "point_id" in one.coords:
        if point is not None and point not in ids:
            near = difflib.get_close_matches(str(point), ids, n=3, cutoff=0.5) or ids[:10]
            raise PointsError(f"point {point!r} is not in this dataset: give a point_id such as {', '.join(near)}")
        if point is not None and one.coords["point_id"].dims:
            one = one.isel({one.coords["point_id"].dims[0]: ids.index(point)})
    if set(one.dims) - set(RUN_DIMS):
        if one.sizes.get("point", 1) != 1:
            raise PointsError(f"this dataset has {len(ids)} points: say which one to draw, such as point={ids[0]!r}")
        one = one.squeeze([dim for dim in one.dims if dim not in RUN_DIMS])
    missing = [dim for dim in RUN_DIMS if dim not in one.dims]
    of_files = [name for name, coord in one.coords.items() if name not in one.dims and set(coord.dims) & set(RUN_DIMS)]
    return one.drop_vars(["valid_time", *of_files], errors="ignore").expand_dims(missing), times


def _choose(ds: xr.Dataset, inits: NDArray[np.datetime64], runs: RunChoice) -> NDArray[np.intp]:
    """Return the positions of the runs to draw, in any order."""
    if runs is None:
        chosen = np.arange(len(inits))
    elif isinstance(runs, int | np.integer):
        chosen = newest_runs(ds, inits, int(runs)) if runs > 0 else np.arange(0)
    else:
        by_time = pd.Series(np.arange(len(inits)), index=pd.DatetimeIndex(inits)).sort_index()
        try:
            wanted = runs if isinstance(runs, str | slice) else pd.DatetimeIndex(np.atleast_1d(np.asarray(runs)))
            chosen = np.atleast_1d(np.asarray(by_time.loc[wanted]))
        except (KeyError, TypeError, ValueError):
            chosen = np.arange(0)
    if not len(chosen):
        span = f"from {_time_text(inits.min())} to {_time_text(inits.max())}" if len(inits) else "empty"
        raise UsageError(f"runs={runs!r} are no runs of this dataset, which is {span}: give a number, a day or a slice")
    return chosen


def _units(one: xr.DataArray, units: str) -> tuple[Any, str]:
    """Return a function that converts values, and the label of an axis."""
    given = str(one.attrs.get("units", ""))
    factor, offset = 1.0, 0.0
    if units and units != given:
        if (given, units) not in _CONVERSIONS:
            known = [to for start, to in _CONVERSIONS if start == given]
            raise ConfigError(
                f"{one.name} in {given or 'no units'} cannot be drawn in {units!r}: give "
                f"{' or '.join(known) or 'no units'}, or convert the dataset, for example with pint-xarray"
            )
        factor, offset = _CONVERSIONS[given, units]
    unit = _PRETTY.get(units or given, units or given)
    label = str(one.attrs.get("long_name", one.name))
    return (lambda values: values * factor + offset), f"{label} ({unit})" if unit else label


def _place(one: xr.DataArray) -> str:
    for name in ("name", "point_id"):
        if name in one.coords and str(one.coords[name].values) not in ("", "nan"):
            return str(one.coords[name].values)
    return ""


def _time_text(time: np.datetime64) -> str:
    return pd.Timestamp(time).strftime("%Y-%m-%d %H:%M UTC")


def _shades(number: int) -> Any:
    """Return blues from light to dark, that are legible on white."""
    from matplotlib import colormaps  # noqa: PLC0415  as elsewhere here, only drawing needs matplotlib

    return colormaps["Blues"](np.linspace(0.3, 1, number) if number > 1 else np.ones(1))


def _regular(inits: NDArray[np.datetime64]) -> tuple[NDArray[np.datetime64], NDArray[np.intp]]:
    """Return an axis of equal steps that has all runs, and the position of each, so that a missing day is a gap."""
    steps = np.unique(np.diff(inits) // np.timedelta64(1, "m"))
    if not len(steps):
        return inits, np.arange(len(inits))
    step = int(np.gcd.reduce(steps.astype(np.int64))) * np.timedelta64(1, "m")
    axis = np.arange(inits[0], inits[-1] + step, step)
    return axis, np.searchsorted(axis, inits)


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of cells around ascending numbers."""
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = (middle[0], middle[-1]) if len(middle) else (centres[0] + 0.5, centres[0] - 0.5)
    return np.concatenate([[2 * centres[0] - first], middle, [2 * centres[-1] - last]])


def _axes(ax: Axes | None) -> Axes:
    import matplotlib.pyplot as plt  # noqa: PLC0415

    return plt.subplots(figsize=(8, 4.2), layout="constrained")[1] if ax is None else ax


def _hour_axis(axis: Axis) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 3, 6, 10], integer=True))


def _date_axis(ax: Axes, label: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415

    locator = AutoDateLocator(maxticks=9)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    ax.set_xlabel(label, loc="left")  # the date is on the right


def _finish(ax: Axes, *, title: str, ylabel: str) -> None:
    ax.set_title(title, loc="left")
    ax.set_ylabel(ylabel)
    ax.grid(alpha=0.3)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _legend(ax: Axes) -> None:
    """Put the legend under the axes, where it hides nothing."""
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, frameon=False)
