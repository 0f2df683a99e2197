"""Test tools: a synthetic HRRR archive with known values, fault injection over HTTP and S3, and a local S3 server.

Used by the tests of this package and of its users, by the benchmarks and by the demo.

>>> import tempfile
>>> from datetime import datetime
>>> with tempfile.TemporaryDirectory() as root:
...     archive = write_archive(root, init_times=[datetime(2024, 1, 1, 6)], lead_hours=[1, 5])
...     [archive.path(file).name for file in archive.files]
['hrrr.t06z.wrfsfcf01.grib2', 'hrrr.t06z.wrfsfcf05.grib2']
"""

from __future__ import annotations

from hrrr_dask.testing.archive import SyntheticArchive, encode_file, published_at, write_archive
from hrrr_dask.testing.damage import delete, drop_message, remove_inventories, stale_inventory, truncate
from hrrr_dask.testing.fault_modes import MODES
from hrrr_dask.testing.fault_scripts import Script, random_script
from hrrr_dask.testing.fault_server import FaultServer
from hrrr_dask.testing.fields import expected_field
from hrrr_dask.testing.grids import DEFAULT_WINDOW, GridWindow
from hrrr_dask.testing.messages import DECOYS
from hrrr_dask.testing.s3 import LoopbackS3, loopback_s3
from hrrr_dask.testing.s3_proxy import Rule, StoreProxy

__all__ = [
    "DECOYS",
    "DEFAULT_WINDOW",
    "MODES",
    "FaultServer",
    "GridWindow",
    "LoopbackS3",
    "Rule",
    "Script",
    "StoreProxy",
    "SyntheticArchive",
    "delete",
    "drop_message",
    "encode_file",
    "expected_field",
    "group_packing",
    "loopback_s3",
    "messages",
    "published_at",
    "random_script",
    "remove_inventories",
    "stale_inventory",
    "truncate",
    "write_archive",
]
