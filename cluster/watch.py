"""Read files into a store as a queue tells of them; the command of ``watch/deployment.yaml``.

    python cluster/watch.py s3://my-bucket/farms.zarr https://sqs.us-east-1.amazonaws.com/123456789012/hrrr-new-files

It is ``hrrr-dask watch`` with JSON logs. SIGTERM commits what is read and ends it with exit code 0.
"""

from __future__ import annotations

import argparse
import sys

from pods import parse_settings, run_and_report

import hrrr_dask
from hrrr_dask.telemetry.log_progress import LogProgress


def main() -> int:
    """Watch until a signal arrives, and report; return the exit code of ``hrrr-dask watch``."""
    given = _parser().parse_args()

    def watch() -> hrrr_dask.WatchReport:
        return hrrr_dask.watch(
            given.store,
            given.queue,
            batch_wait=given.batch_wait,
            sweep=given.sweep,
            workers=given.workers,
            progress=LogProgress(),
            **parse_settings(given.setting),
        )

    return run_and_report(watch, gaps_are_done=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", help="directory or s3://bucket/prefix of an existing store")
    parser.add_argument("queue", help="URL of an SQS queue that gets the events of the archive")
    parser.add_argument("--batch-wait", default="60s", help="longest wait for further files of a run (default 60s)")
    parser.add_argument("--sweep", default="1h", help="interval of updates for what no event told, 0 for none")
    parser.add_argument("--workers", type=int, default=1, help="number of reading processes (default 1)")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="such as source=google")
    return parser


if __name__ == "__main__":
    sys.exit(main())
