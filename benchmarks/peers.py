"""Ways to decode the values of one message at some cells: ours, and those of other packages.

Each function imports what it needs and returns a function that prepares a message; what that returns is measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# A contender's process loads this module: only the standard library and numpy here, or its imports would be shared.
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from benchmarks.whole_messages import Grib

__all__ = ["KNOWN_TO_DIFFER", "OURS", "PEERS", "REFERENCE", "Decode", "Prepare", "is_installed", "prepare_with"]

Cells = NDArray[np.int64]
Decode = Callable[[Cells], NDArray[np.float32]]
Prepare = Callable[["Grib"], Decode]

MISSING: Final = -1.0e100
"""Stands for a missing value while ecCodes unpacks."""

REFERENCE: Final = "ecCodes"
"""Whose values the others' are compared with."""


def with_engine(engine: str) -> Prepare:
    """Our engines: the message's bytes are in memory, as they are after a ranged read."""
    from hrrr_dask.decode import get_engine

    decoder = get_engine(engine)

    def prepare(grib: Grib) -> Decode:
        message = grib.path.read_bytes()
        return lambda cells: decoder.points(message, cells)

    return prepare


def with_eccodes() -> Prepare:
    """``codes_get_values`` and an index, without any check."""
    import eccodes

    def prepare(grib: Grib) -> Decode:
        message = grib.path.read_bytes()

        def decode(cells: Cells) -> NDArray[np.float32]:
            handle = eccodes.codes_new_from_message(message)
            try:
                eccodes.codes_set(handle, "missingValue", MISSING)
                values = eccodes.codes_get_values(handle)[cells]
            finally:
                eccodes.codes_release(handle)
            values[values == MISSING] = np.nan
            return np.asarray(values, dtype=np.float32)

        return decode

    return prepare


def with_cfgrib() -> Prepare:
    """The next variable of a file with several messages that xarray has opened before."""
    import xarray as xr

    xr.backends.list_engines()

    def prepare(grib: Grib) -> Decode:
        field = _open(grib)

        def decode(cells: Cells) -> NDArray[np.float32]:
            y, x = (xr.DataArray(index, dims="point") for index in np.divmod(cells, field.shape[1]))
            values: NDArray[np.float32] = field.isel(y=y, x=x).to_numpy()
            return values

        return decode

    return prepare


def with_gribberish() -> Prepare:
    """``parse_grib_array`` and an index."""
    import gribberish

    def prepare(grib: Grib) -> Decode:
        message = grib.path.read_bytes()
        return lambda cells: gribberish.parse_grib_array(message, 0).ravel()[cells].astype(np.float32)

    return prepare


def with_pygrib() -> Prepare:
    """``fromstring(…).values`` and an index."""
    import pygrib

    def prepare(grib: Grib) -> Decode:
        message = grib.path.read_bytes()

        def decode(cells: Cells) -> NDArray[np.float32]:
            values = np.ma.ravel(pygrib.fromstring(message).values)[cells]
            return np.ma.filled(values.astype(np.float32), np.nan)

        return decode

    return prepare


def with_herbie(home: Path) -> Prepare:
    """``pick_points`` of a dataset that is open, its tree of cells grown before and kept on disk, as Herbie does."""
    os.environ |= {"HERBIE_CONFIG_PATH": str(home), "HERBIE_SAVE_DIR": str(home)}  # not into anybody's home
    import herbie  # noqa: F401  the accessor
    import pandas as pd

    def prepare(grib: Grib) -> Decode:
        field = _open(grib)
        dataset = field.to_dataset()
        latitude, longitude = (dataset[name].to_numpy().ravel() for name in ("latitude", "longitude"))

        def decode(cells: Cells) -> NDArray[np.float32]:
            points = pd.DataFrame({"latitude": latitude[cells], "longitude": longitude[cells]})
            picked = dataset.herbie.pick_points(points, tree_name="benchmark")
            values: NDArray[np.float32] = picked[field.name].to_numpy()
            return values

        return decode

    return prepare


PEERS: Final = {
    REFERENCE: ("eccodes",),
    "cfgrib": ("cfgrib", "xarray"),
    "gribberish": ("gribberish",),
    "pygrib": ("pygrib",),
    "Herbie": ("herbie", "sklearn"),
}
"""Label to the modules that it needs."""

OURS: Final = "hrrr_dask "
"""Begins the label of an engine of ours."""

KNOWN_TO_DIFFER: Final = {("gribberish", "5.0 constant"): "it returns 0 for a field of one value"}
"""Peer and packing to what is known; such a difference is reported, any other one is an error."""


def is_installed(label: str) -> bool:
    """Whether a peer can be measured here."""
    return all(find_spec(module) for module in PEERS[label])


def prepare_with(label: str, work: Path) -> Prepare:
    """Import what a contender needs; what it keeps on disk goes to a directory."""
    makers: dict[str, Callable[[], Prepare]] = {
        REFERENCE: with_eccodes,
        "cfgrib": with_cfgrib,
        "gribberish": with_gribberish,
        "pygrib": with_pygrib,
        "Herbie": lambda: with_herbie(work / "herbie"),
    }
    return with_engine(label.removeprefix(OURS)) if label.startswith(OURS) else makers[label]()


def _open(grib: Grib) -> Any:
    """The message as cfgrib sees it among the others, not read yet, dims (y, x)."""
    import eccodes
    import xarray as xr

    handle = eccodes.codes_new_from_message(grib.path.read_bytes())
    try:
        keys = {key: eccodes.codes_get(handle, key) for key in ("shortName", "typeOfLevel", "dataDate", "stepRange")}
    finally:
        eccodes.codes_release(handle)
    options = {"filter_by_keys": keys, "indexpath": ""}
    (field,) = xr.open_dataset(grib.together, engine="cfgrib", backend_kwargs=options).data_vars.values()
    return field
