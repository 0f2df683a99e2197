"""Makes a lagged ensemble: forecasts of successive runs for the same valid time, as members.

See R. N. Hoffman and E. Kalnay (1984), Lagged average forecasting, some operational considerations,
https://ntrs.nasa.gov/citations/19840014007.
"""

from __future__ import annotations

from operator import index

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrrr_dask.errors import ConfigError
from hrrr_dask.read.forecasts import find_windows, pick_forecasts, read_tiers, times_of
from hrrr_dask.read.gather import EXCLUDED, Pick, Runs

__all__ = ["lagged"]


def lagged(ds: xr.Dataset, n: int = 6) -> xr.Dataset:
    """Arrange the newest runs that reach each valid time as members of an ensemble.

    The choice depends on ``status``, not on the values: a run counts if its file for the valid time has values in
    the store, all or some. Members of one valid time differ in lead time, so that their errors do too.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(init_time, lead_time, point)``; either time may be a single one.
    n : int
        Number of members.

    Returns
    -------
    xarray.Dataset
        Dims ``(valid_time, member, point)``, all valid times of the dataset; ``member`` 0 is the newest run, 1 the one
        before, up to ``n - 1``. Coordinates ``init_time`` and ``lead_time`` of dims ``(valid_time, member)`` identify
        the forecast; where there are fewer runs they are NaT, values NaN, and ``status`` is ``not-ingested``. A
        variable with a time window, such as an hour's precipitation, takes the newest runs that have it; the
        coordinates are then those of the other variables, and its own are those of
        ``lagged(ds[["precipitation_1h"]])``. Only ``status`` is read.

    Raises
    ------
    ConfigError
        If ``n`` is not a whole number of at least 1.
    UsageError
        If the dataset has no runs and lead times, or no ``status``.

    Examples
    --------
    >>> ensemble = ds.temperature_2m.hrrr.lagged(n=3)
    >>> ensemble.sel(point_id="roscoe", valid_time="2024-07-02T12").values.round(1)
    array([278.8, 279.2, 278.9], dtype=float32)
    >>> spread = ensemble.std("member")
    """
    n = _parse_number(n)
    runs = Runs.of(ds)
    ds, tiers = read_tiers(ds, runs)
    valid = runs.valid_times()
    some, windows = find_windows(ds, runs)
    common = _newest(runs, valid, tiers, some, n)
    own = {name: _newest(runs, valid, tiers, window, n) for name, window in windows.items()}
    times = {"valid_time": valid, "member": np.arange(n), **times_of(runs, valid, common)}
    return pick_forecasts(ds, times, common, own)


def _newest(
    runs: Runs, valid: NDArray[np.datetime64], tiers: NDArray[np.uint8], exists: NDArray[np.bool_], n: int
) -> Pick:
    """Pick the newest usable runs of each valid time, which are those of the shortest lead times."""
    found, inits = np.zeros(len(valid), dtype=np.intp), np.full((len(valid), n), -1)
    leads = np.zeros_like(inits)
    usable = np.flatnonzero(exists & (len(valid) > 0))
    for lead in usable[np.argsort(runs.leads[usable], kind="stable")]:
        files = np.flatnonzero(tiers[:, lead] != EXCLUDED)
        at, first = np.unique(np.searchsorted(valid, runs.inits[files] + runs.leads[lead]), return_index=True)
        files, at = files[first][found[at] < n], at[found[at] < n]  # of equal runs the first
        inits[at, found[at]], leads[at, found[at]] = files, lead
        found[at] += 1
    return Pick(("valid_time", "member"), inits, leads)


def _parse_number(n: int) -> int:
    try:
        number = index(n)
    except TypeError:
        number = 0
    if number < 1 or isinstance(n, bool):
        raise ConfigError(f"n={n!r} is not a number of members: give a whole number of at least 1, such as 6")
    return number
