"""The demo: writes a synthetic archive, runs a backfill on local workers, and plots the store. Works offline."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import pandas as pd
import xarray as xr

from hrrr_dask.api import backfill
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.display.progress import Show
from hrrr_dask.display.tables import Displayed, Table
from hrrr_dask.display.watching import accept_show
from hrrr_dask.read.opening import open_dataset
from hrrr_dask.records import GribFile
from hrrr_dask.report.results import Report
from hrrr_dask.testing import SyntheticArchive, delete, truncate, write_archive

__all__ = ["DemoResult", "plot_fan", "run_demo"]

START: Final = datetime(2024, 7, 1)
END: Final = datetime(2024, 7, 2, 18)
CYCLES: Final = (0, 6, 12, 18)
LEAD_HOURS: Final = tuple(range(0, 37, 3))

POINTS: Final = (
    ("roscoe", "Roscoe wind farm, Texas", 32.265, -100.345),
    ("sweetwater", "Sweetwater, Texas", 32.470, -100.406),
    ("champion", "Champion, Texas", 32.380, -100.520),
)
"""point_id, name, latitude, longitude: within the synthetic archive's window of the grid."""


CUT: Final = GribFile(datetime(2024, 7, 1, 12), 24)
"""A file whose second half is missing, as after an upload that broke off."""

UNPUBLISHED: Final = GribFile(datetime(2024, 7, 2, 0), 9)
"""A file that the archive does not have."""

MOMENT: Final = "2024-07-02T07:15"
"""A time at which the run of 06 UTC is published in part, so that ``ds.hrrr.latest`` takes files of two runs."""


@dataclass(frozen=True, slots=True, repr=False)
class DemoResult(Displayed):
    """Results of the demo."""

    report: Report
    """Report of the backfill."""
    store: Path
    """The Zarr store."""
    plot: Path
    """The plot."""

    @property
    def exit_code(self) -> int:
        """That of the report, but 0 if the only gaps are those that the demo has made."""
        made = {CUT.label, UNPUBLISHED.label}
        as_told = self.report.outcome == "done-with-gaps" and made >= set(self.report.first_files_with_gaps)
        return 0 if as_told else self.report.exit_code

    def advice(self) -> str:
        """Say which gaps the demo has made, and name three commands to try next."""
        store = shlex.quote(str(self.store))
        code = f"import hrrr_dask; ds = hrrr_dask.open_dataset({str(self.store)!r}); print(ds.hrrr.latest({MOMENT!r}))"
        return "\n".join(
            (
                f"Two files of the archive are bad on purpose: {CUT.label} is cut short, and {UNPUBLISHED.label} was",
                "never published. So this run has gaps. A backfill with gaps ends with exit code 3, the demo with 0.",
                "",
                "Next, see which values are missing, and why:",
                f"  hrrr-dask status --store {store} --gaps",
                f"read what was known on {MOMENT.replace('T', ' at ')} UTC:",
                f'  {sys.executable} -c "{code}"',
                "and read some files again by an independent route, and compare every bit:",
                f"  hrrr-dask verify --store {store}",
            )
        )

    def tables(self) -> tuple[Table, ...]:
        """Describe the report of the backfill, and name the plot.

        Returns
        -------
        tuple of Table
            Tables of text, as prompt, notebook and command line show them.
        """
        (whole,) = self.report.tables()
        return (Table(whole.title, (*whole.rows, ("plot", str(self.plot)))),)


@accept_show
def run_demo(directory: str | Path, *, say: Callable[[str], None], progress: bool | Show | None = None) -> DemoResult:
    """Write an archive, run a backfill, plot the result. A second call reads nothing again.

    Parameters
    ----------
    directory : str or Path
        Made if it does not exist.
    say : callable
        Called with a line of text before each step.
    progress : bool or callable, optional
        As for :func:`hrrr_dask.backfill`.

    Returns
    -------
    DemoResult
        Report and paths.
    """
    root = Path(directory)
    archive, store, plot, points = (root / name for name in ("archive", "demo.zarr", "demo.png", "points.csv"))
    if not archive.is_dir():
        say(f"writing a synthetic archive, laid out like NOAA's bucket, to {archive}")
        _damage(write_archive(archive, start=START, end=END, cycles=CYCLES, lead_hours=LEAD_HOURS))
    pd.DataFrame(POINTS, columns=["point_id", "name", "latitude", "longitude"]).to_csv(points, index=False)
    say(f"reading {len(POINTS)} points from every file into {store}")
    report = backfill(
        points,
        START,
        END,
        str(store),
        progress=progress,
        source=[str(archive)],
        cycles=list(CYCLES),
        lead_hours=list(LEAD_HOURS),
        variables=[*DEFAULT_VARIABLES, "wind_gust_surface", "precipitation_1h"],
    )
    plot_fan(open_dataset(str(store)), POINTS[0][0], plot)
    return DemoResult(report, store, plot)


def _damage(archive: SyntheticArchive) -> None:
    truncate(archive, CUT, archive.path(CUT).stat().st_size // 2)
    delete(archive, UNPUBLISHED)


def plot_fan(dataset: xr.Dataset, point_id: str, path: Path) -> None:
    """Plot every run's forecast of temperature and wind at one point against valid time.

    Parameters
    ----------
    dataset : xarray.Dataset
        An open store.
    point_id : str
        Id of the point.
    path : Path
        PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  only the plot needs matplotlib
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    one = dataset.sel(point_id=point_id).load()
    wind = (one.u_component_wind_80m**2 + one.v_component_wind_80m**2) ** 0.5
    panels = ((one.temperature_2m - 273.15, "2 m temperature [°C]"), (wind, "80 m wind speed [m s⁻¹]"))
    figure = Figure(figsize=(10, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 1, sharex=True)
    shades = [f"{0.75 - 0.75 * k / max(one.sizes['init_time'] - 1, 1):.2f}" for k in range(one.sizes["init_time"])]
    for panel, (series, label) in zip(axes, panels, strict=True):
        for k, shade in enumerate(shades):
            panel.plot(one.valid_time[k], series[k], color=shade, linewidth=1)
        panel.plot(one.valid_time[:, 0], series[:, 0], "o", color="tab:red", markersize=4, label="analysis (lead 0)")
        panel.set_ylabel(label)
        panel.grid(alpha=0.3)
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes[-1].xaxis.set_major_locator(locator)
    axes[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes[-1].set_xlabel("valid time [UTC]")
    axes[0].set_title(f"{one.name.item()}: every run a line, the newest darkest (synthetic data)")
    axes[0].legend(loc="upper right")
    figure.savefig(path, dpi=120)
