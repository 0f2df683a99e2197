"""Take the pictures of ``docs/dashboard.md``: our page and Dask's performance page while a small backfill runs.

Usage: python docs/dashboard_page.py /srv/hrrr          (an empty directory, named in the pictures)

Needs playwright and chromium.
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

import hrrr_dask
from hrrr_dask.records import GribFile
from hrrr_dask.testing import FaultServer, GridWindow, delete, drop_message, write_archive

DOCS = Path(__file__).parent
WINDOW = GridWindow(288, 794, 150, 150)
NAMES = ("temperature_2m", "relative_humidity_2m", "u_component_wind_80m", "v_component_wind_80m")
LEADS = tuple(range(7))
START, END = datetime(2024, 7, 1), datetime(2024, 7, 2, 23)


class DistantServer(FaultServer):
    """Takes as long for each response as an archive that is far away."""

    def begin(self, path: str, byte_range: str) -> str:
        """Wait, then respond."""
        time.sleep(0.1)
        return super().begin(path, byte_range)


def photograph(browser: Browser, url: str, picture: Path, width: int, height: int, *, dark: bool = False) -> None:
    """Take a picture of a page once it shows figures, and settles."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light")
    page.goto(url)
    page.wait_for_selector("article, canvas")
    page.wait_for_timeout(1500)
    page.screenshot(path=picture)
    page.close()
    with Image.open(picture) as taken:
        small = taken.convert("RGB").quantize(96, dither=Image.Dither.NONE)
    small.save(picture, optimize=True)


def backfill(root: Path, name: str, url: str, client: Client, end: datetime) -> None:
    """Read a store's values."""
    rng = np.random.default_rng(7)
    places = np.column_stack(WINDOW.latlon(rng.uniform(1, 148, 40), rng.uniform(1, 148, 40)))
    np.savetxt(root / "points.csv", places, "%.4f", ",", header="latitude,longitude", comments="")
    hrrr_dask.backfill(
        root / "points.csv",
        START,
        end,
        root / name,
        client=client,
        progress=False,
        source=[url],
        variables=NAMES,
        lead_hours=LEADS,
        engine="eccodes",
        partition_days=1,
    )


def damage(archive: hrrr_dask.testing.SyntheticArchive) -> None:
    """Leave out files and a message, as the real archive does."""
    for hour, lead in ((2, 3), (5, 0), (5, 1)):
        delete(archive, GribFile(datetime(2024, 7, 1, hour), lead))
    drop_message(archive, GribFile(datetime(2024, 7, 1, 1), 4), NAMES[0])


def newest_run(dashboard: str) -> dict[str, Any]:
    """Return the figures of the run that began last."""
    with urllib.request.urlopen(f"{dashboard}/hrrr/data.json", timeout=10) as response:  # noqa: S310
        found: dict[str, Any] = json.load(response)["runs"][0]
    return found


def main() -> None:
    """Run two backfills, one after the other, and take pictures of the second."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path)
    root = parser.parse_args().root
    archive = write_archive(
        root / "archive", start=START, end=END, lead_hours=LEADS, window=WINDOW, variables=NAMES, decoys=False
    )
    damage(archive)
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:8787", "n_workers": 2, "threads_per_worker": 2}
    with (
        DistantServer(archive.root) as server,
        LocalCluster(**here) as cluster,
        Client(cluster) as client,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        backfill(root, "airports.zarr", server.url, client, START.replace(hour=5))
        running = threading.Thread(target=backfill, args=(root, "wind_farms.zarr", server.url, client, END))
        running.start()
        dashboard = client.dashboard_link.removesuffix("/status")
        while newest_run(dashboard)["steps_committed"] == 0 or newest_run(dashboard)["ended"]:
            time.sleep(0.1)
        page = f"{dashboard}/hrrr"
        photograph(browser, page, DOCS / "dashboard_page.png", 1160, 655)
        photograph(browser, page, root / "dark.png", 560, 900, dark=True)
        metrics = f"{dashboard}/individual-fine-performance-metrics"
        photograph(browser, metrics, DOCS / "dashboard_metrics.png", 1800, 580)
        running.join()
        photograph(browser, page, root / "after.png", 1160, 655)


if __name__ == "__main__":
    main()
