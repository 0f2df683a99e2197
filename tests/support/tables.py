"""Stores to be exported, and what plain xarray says of them."""

from __future__ import annotations

import numpy as np
import xarray as xr

from hrrr_dask.records import Origin
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from support.specs import NAMES, SPAN, all_pieces, commit, make_spec, outcome, piece

SOURCE = "s3://noaa-hrrr-bdp-pds/hrrr.{:%Y%m%d/conus/hrrr.t%Hz}.wrfsfcf{:02d}.grib2"
GAP = (1, 1)
"""Position (init_time, lead_time) of the file in which precipitation is missing."""


def source_of(file):
    return SOURCE.format(file.init_time, file.lead_hours)


def outcomes_of(inits, reasons=None, points=(0, 5), gap=GAP, names=NAMES):
    """Outcomes of all files of runs; precipitation is not wanted at lead time 0, and is a gap at one place."""
    found = []
    for init in inits:
        for lead in (0, 1):
            wanted = [name for name in names if lead or name != "precipitation_1h"]
            missing = {"precipitation_1h": "truncated"} if (init, lead) == gap else {}
            one = outcome(init, lead, missing, tuple(wanted), points)
            origin = Origin(source=source_of(one.file))
            found.append(outcome(init, lead, missing, tuple(wanted), points, origin=origin))
    return [each for each in found if each.wanted]


def make_store(path, n_days=4, n_points=5):
    """Make a store of four days with five points in two shards, two runs a day, and a gap."""
    made = Store(str(path), {}, make_spec(n_days=n_days, n_points=n_points)).make_or_grow(Growth())
    for partition in range(n_days // 2):
        pieces = all_pieces(partition, points=(0, n_points))
        if not partition:
            pieces["precipitation_1h"] = [each for each in pieces["precipitation_1h"] if (each.row, each.lead) != GAP]
        made.merge(partition, pieces)
        rows = range(partition * SPAN, (partition + 1) * SPAN)
        commit(made, *outcomes_of(rows, points=(0, n_points)), partition=partition)
        publish_status(made, partition)
    return made


def heal(store):
    """Fill the gap, as a later backfill would."""
    store.merge(0, {"precipitation_1h": [piece("precipitation_1h", *GAP)]})
    healed = outcome(*GAP, None, ("precipitation_1h",))
    commit(store, outcome(*GAP, None, healed.wanted, origin=Origin(source=source_of(healed.file))), second=60)
    publish_status(store, 0)


def frame_of(store):
    """All values of a store as a long frame, by plain xarray."""
    with xr.open_zarr(str(store), chunks=None) as ds:
        parts = []
        for name in sorted(name for name in ds.data_vars if ds[name].dims == ("init_time", "lead_time", "point")):
            frame = ds[name].drop_vars("valid_time", errors="ignore").to_dataframe(name="value").reset_index()
            parts.append(frame.assign(variable=name).dropna(subset="value"))
        import pandas as pd

        frame = pd.concat(parts, ignore_index=True)
    frame["lead_time_h"] = frame.lead_time / np.timedelta64(1, "h")
    frame["valid_time"] = frame.init_time + frame.lead_time
    return frame
