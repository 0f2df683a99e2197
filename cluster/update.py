"""Update a store with the newest runs of the archive; the command of ``update/cronjob.yaml``.

    python cluster/update.py s3://my-bucket/farms.zarr --workers 1

It is ``hrrr-dask update`` with JSON logs and an exit code for Kubernetes.
"""

from __future__ import annotations

import argparse
import sys

from pods import parse_settings, run_and_report

import hrrr_dask
from hrrr_dask.telemetry.log_progress import LogProgress


def main() -> int:
    """Update and report; return the exit code of ``hrrr-dask update``."""
    given = _parser().parse_args()

    def update() -> hrrr_dask.Report:
        return hrrr_dask.update(
            given.store,
            workers=given.workers,
            progress=LogProgress(),
            until_complete=given.until_complete,
            **parse_settings(given.setting),
        )

    return run_and_report(update, gaps_are_done=given.gaps_are_done)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", help="directory or s3://bucket/prefix of an existing store")
    parser.add_argument("--workers", type=int, default=1, help="number of reading processes (default 1)")
    parser.add_argument("--until-complete", action="store_true", help="wait for files, up to the setting deadline")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="such as source=google")
    parser.add_argument("--gaps-are-done", action="store_true", help="exit with 0 instead of 3 if the archive has gaps")
    return parser


if __name__ == "__main__":
    sys.exit(main())
