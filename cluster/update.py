"""Read the newest runs that a store does not have yet; the command of ``update/cronjob.yaml``.

    python cluster/update.py s3://my-bucket/farms.zarr --workers 1

It is ``hrrr-dask update``, with progress in lines and an exit code that Kubernetes understands.
"""

from __future__ import annotations

import argparse
import sys

from pods import LogLines, answer, settings

import hrrr_dask


def main() -> int:
    """Update, report; the exit code is that of ``hrrr-dask update``."""
    given = _parser().parse_args()

    def update() -> hrrr_dask.Report:
        return hrrr_dask.update(given.store, workers=given.workers, show=LogLines(), **settings(given.setting))

    return answer(update, gaps_are_done=given.gaps_are_done)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", help="directory or s3://bucket/prefix of a store that is there")
    parser.add_argument("--workers", type=int, default=1, help="processes that read (default 1)")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="such as source=google")
    parser.add_argument("--gaps-are-done", action="store_true", help="exit with 0, not 3, when the archive had gaps")
    return parser


if __name__ == "__main__":
    sys.exit(main())
