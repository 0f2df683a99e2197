"""Draw ``docs/monitoring.png``: the panels of the Grafana dashboard, by its queries, from a Prometheus.

Usage: python docs/monitoring.py http://127.0.0.1:9090 --minutes 5
"""

from __future__ import annotations

import argparse
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from PIL import Image

PICTURE = Path(__file__).with_suffix(".png")
DASHBOARD = PICTURE.parent.parent / "cluster" / "monitoring" / "dashboard.json"

UNITS = {"s": " [s]", "Bps": " [B/s]", "bytes": " [B]", "cps": " [1/s]", "reqps": " [1/s]"}


def ranges(url: str, query: str, minutes: float) -> list[dict[str, Any]]:
    """Series of a query over the last minutes."""
    text = query.replace("$__rate_interval", "15s").replace("$cluster", ".*")
    now = time.time()
    given = {"query": text, "start": now - 60 * minutes, "end": now, "step": max(minutes / 4, 1)}
    with urllib.request.urlopen(f"{url}/api/v1/query_range?{urllib.parse.urlencode(given)}", timeout=30) as response:  # noqa: S310
        found: list[dict[str, Any]] = json.load(response)["data"]["result"]
    return found


def legend(template: str, labels: dict[str, str]) -> str:
    """What Grafana writes below a line; of a URL only the last part."""
    named = {name: value.rpartition("/")[2] for name, value in labels.items()}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: named.get(match[1], ""), template)


def drawn() -> Iterator[dict[str, Any]]:
    """The panels with lines, as on the dashboard."""
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        if panel["type"] == "timeseries":
            yield panel


def draw_panel(axes: Axes, panel: dict[str, Any], url: str, minutes: float) -> None:
    """Lines of one panel."""
    for target in panel["targets"]:
        for series in ranges(url, target["expr"], minutes):
            moments, values = zip(*series["values"], strict=True)
            times = [moment / 86_400 for moment in moments]  # Matplotlib counts days since 1970
            axes.plot(times, [float(value) for value in values], label=legend(target["legendFormat"], series["metric"]))
    defaults = panel["fieldConfig"]["defaults"]
    axes.set_title(panel["title"] + UNITS.get(defaults["unit"], ""), loc="left", fontsize=9)
    axes.xaxis_date()
    axes.xaxis.set_major_locator(AutoDateLocator(maxticks=5))
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator(), show_offset=False))
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.25)
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(fontsize=6, frameon=False)


def main() -> None:
    """Draw all panels."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", help="of a Prometheus")
    parser.add_argument("--minutes", type=float, default=5)
    given = parser.parse_args()
    panels = list(drawn())
    figure, grid = plt.subplots(-(-len(panels) // 3), 3, figsize=(12, 11), dpi=90, layout="constrained")
    for axes, panel in zip(grid.flat, panels, strict=False):
        draw_panel(axes, panel, given.url, given.minutes)
    for axes in grid.flat[len(panels) :]:
        axes.axis("off")
    figure.savefig(PICTURE)
    Image.open(PICTURE).convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
