"""Back-fill a store on a Dask cluster that exists; README.md says how to start one.

Run it where it reaches the scheduler, the archive and the store:

    python cluster/backfill.py tcp://10.0.0.5:8786 farms.csv 2024-01-01 2024-01-31 s3://my-bucket/farms.zarr

It prints the report as JSON. Give the same command again for what an interrupted one left.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from distributed import Client

import hrrr_dask
from hrrr_dask.clusters import check_workers


def main() -> int:
    """Connect, check, back-fill, report; the exit code is that of ``hrrr-dask backfill``."""
    given = _parser().parse_args()
    with Client(given.scheduler, timeout=20) as client:
        client.wait_for_workers(given.workers, timeout=300)
        check_workers(client)
        report = hrrr_dask.backfill(
            given.points, given.start, given.end, given.store, client=client, **_settings(given.setting)
        )
    json.dump({"outcome": report.outcome, **dataclasses.asdict(report)}, sys.stdout)
    return report.exit_code


def _settings(pairs: list[str]) -> dict[str, Any]:
    """``lead_hours=0-36`` and the like, as ``hrrr_dask.backfill`` takes them."""
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scheduler", help="address, tcp://HOST:8786")
    parser.add_argument("points", help="CSV, lat,lon lines or GeoJSON")
    parser.add_argument("start", help="first init time, UTC")
    parser.add_argument("end", help="last init time, included; a date means its last run")
    parser.add_argument("store", help="directory or s3://bucket/prefix that every worker reaches by this name")
    parser.add_argument("--workers", type=int, default=1, help="wait for so many before starting (default 1)")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="such as lead_hours=0-36")
    return parser


if __name__ == "__main__":
    sys.exit(main())
