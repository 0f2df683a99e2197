"""Draw ``docs/result.png``, the README's picture, from the store of the demo.

Usage: hrrr-dask demo hrrr-demo && python docs/result.py hrrr-demo/demo.zarr
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.dates import DateFormatter, DayLocator
from PIL import Image

import hrrr_dask

PICTURE = Path(__file__).with_suffix(".png")


def draw(ds: xr.Dataset, picture: Path) -> None:
    """Wind speed at the first point: all runs as lines, and one lead time of them as a series."""
    one = ds.isel(point=0)
    one = one.assign(speed=np.hypot(one.u_component_wind_80m, one.v_component_wind_80m))[["speed"]].load()
    ahead = one.hrrr.fixed_lead(24)
    figure, axes = plt.subplots(figsize=(8, 2.9), dpi=120, layout="constrained")
    shades = plt.colormaps["Blues"](np.linspace(0.35, 1, one.sizes["init_time"]))
    for run, shade in enumerate(shades):
        label = {0: "every run, from the oldest", len(shades) - 1: "to the newest"}.get(run)
        axes.plot(one.valid_time[run], one.speed[run], color=shade, linewidth=1.6, label=label)
    axes.plot(
        ahead.valid_time, ahead.speed, "o", color="tab:orange", markersize=6, label="forecast 24 h ahead", zorder=3
    )
    axes.set(ylabel="80 m wind speed [m s⁻¹]", xlabel="valid time [UTC]")
    axes.set_title(f"{one.name.item()} (synthetic data of the demo)", loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(DayLocator())
    axes.xaxis.set_major_formatter(DateFormatter("%-d %b %Y"))
    axes.legend(frameon=False, loc="upper left", fontsize=9)
    figure.savefig(picture)
    plt.close(figure)
    Image.open(picture).convert("RGB").quantize(64).save(picture, optimize=True)


if __name__ == "__main__":
    draw(hrrr_dask.open_dataset(sys.argv[1]), PICTURE)
