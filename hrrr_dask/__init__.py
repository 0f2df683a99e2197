"""Point series out of the whole HRRR archive, through Dask, into one Zarr store."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrrr_dask.api import backfill, plan, update
    from hrrr_dask.assessing import assess
    from hrrr_dask.checksums import verify_checksums
    from hrrr_dask.differences import VerifyReport
    from hrrr_dask.growing import add_points, add_variables
    from hrrr_dask.opening import open_dataset
    from hrrr_dask.points import read_points
    from hrrr_dask.reports import Assessment, Report, Status
    from hrrr_dask.standing import compact, status
    from hrrr_dask.verifying import verify

__version__ = "0.1.0"

__all__ = [
    "Assessment",
    "Report",
    "Status",
    "VerifyReport",
    "__version__",
    "add_points",
    "add_variables",
    "assess",
    "backfill",
    "compact",
    "open_dataset",
    "plan",
    "read_points",
    "status",
    "update",
    "verify",
    "verify_checksums",
]

_HOMES = {
    "Assessment": "reports",
    "Report": "reports",
    "Status": "reports",
    "VerifyReport": "differences",
    "add_points": "growing",
    "add_variables": "growing",
    "assess": "assessing",
    "backfill": "api",
    "compact": "standing",
    "open_dataset": "opening",
    "plan": "api",
    "read_points": "points",
    "status": "standing",
    "update": "api",
    "verify": "verifying",
    "verify_checksums": "checksums",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a worker that only extracts loads no more than it needs."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hrrr_dask' has no attribute {name!r}")
    return getattr(import_module(f"hrrr_dask.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
