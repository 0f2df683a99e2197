"""A backfill on a cluster reveals no secret of its environment anywhere."""

from __future__ import annotations

import logging
import urllib.request
from datetime import datetime

import pytest
from distributed import Client, LocalCluster
from support.oracle import write_points
from support.secrets import MARK

import hrrr_dask
from hrrr_dask.testing import GridWindow, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
PAGES = (
    "info/main/workers.html", "info/main/logs.html", "json/counts.json",
    "json/index.html", "metrics", "status", "tasks", "api/v1", "individual-config",
)  # fmt: skip


@pytest.fixture(scope="module")
def filled(marked, tmp_path_factory):
    """A backfill with a gap into a bucket; all output and all pages meanwhile, by place."""
    root, heard = tmp_path_factory.mktemp("secrets"), []
    archive = write_archive(
        root / "archive",
        init_times=[datetime(2024, 1, 1)],
        lead_hours=[0, 1],
        variables=["temperature_2m"],
        window=WINDOW,
    )
    archive.path(archive.files[1]).write_bytes(b"no GRIB")
    latitude, longitude = WINDOW.latlon(2, 3)
    points = write_points(root / "points.csv", [(float(latitude), float(longitude))])
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: heard.append(f"{record.name}: {handler.format(record)}")
    loggers = [logging.getLogger(name) for name in ("hrrr_dask", "distributed", "dask")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    cluster = LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )
    with cluster, Client(cluster) as client:
        request = {
            "lead_hours": "0,1",
            "cycles": "0",
            "variables": "temperature_2m",
            "axis_start": "2024-01-01",
            "engine": "eccodes",
        }
        report = hrrr_dask.backfill(
            points, "2024-01-01", "2024-01-01", "s3://out/x.zarr", source=[str(archive.root)], client=client, **request
        )
        address = cluster.dashboard_link.removesuffix("status")
        found = {page: _page(address + page) for page in PAGES}
        state = cluster.scheduler.get_events()
        keys = [*cluster.scheduler.tasks, *client.futures]
    for logger, level in zip(loggers, before, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(level)
    return found | {"log": "\n".join(heard), "keys": str(keys), "events": str(state), "report": str(report)}


def _page(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return f"{error.code}"


def test_logs_keys_events_report_and_pages_of_the_scheduler_have_none(filled):
    assert "distributed.scheduler" in filled["log"]
    assert len(filled["info/main/workers.html"]) > 100
    assert [where for where, text in filled.items() if MARK in text] == []
