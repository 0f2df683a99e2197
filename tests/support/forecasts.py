"""Forecasts in memory, and what is asked of them as plain loops over every run and lead time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from zarr.core.buffer import Buffer
from zarr.storage import WrapperStore

from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, OUTCOMES

HOUR = np.timedelta64(1, "h")
MINUTE = np.timedelta64(1, "m")
NAT = np.datetime64("NaT")
SELECTORS = {
    "temperature_2m": "TMP:2 m above ground:instant",
    "precipitation_1h": "APCP:surface:1 hour acc",
    "precipitation_6h": "APCP:surface:6 hour acc",
    "solar_15min": "DSWRF:surface:15 min ave",
}
FIRST_LEAD = {"temperature_2m": 0, "precipitation_1h": 60, "precipitation_6h": 360, "solar_15min": 15}
"""Shortest lead time with each variable [min]."""
HOLLOW = [OUTCOMES[name].number for name in ("not-ingested", "not-in-this-era", "not-published", "access-denied")]
PARTIAL = [OUTCOMES[name].number for name in ("message-not-found", "decode-failed", "truncated", "unreachable")]


def forecasts(
    cycles: Iterable[int] = (0, 6, 12, 18),
    leads: Iterable[float] = (0, 1, 2, 3, 6, 12, 18),
    n_days: int = 3,
    n_points: int = 3,
    seed: int = 0,
    start: str = "2024-07-01",
    selectors: Mapping[str, str] = SELECTORS,
) -> xr.Dataset:
    """A store's dataset in memory: a distinct value everywhere, NaN where a file has none, gaps at random.

    Lead times are hours, and quarters of them.
    """
    rng = np.random.default_rng(seed)
    hours = [24 * day + cycle for day in range(n_days) for cycle in sorted(cycles)]
    init = np.datetime64(start, "ns") + np.array(hours) * HOUR
    lead = np.array([int(60 * hours) for hours in sorted(leads)]).astype("timedelta64[m]").astype("timedelta64[ns]")
    files = (len(init), len(lead))
    status = rng.choice([COMPLETE] * 12 + HOLLOW + PARTIAL, files).astype(np.uint8)
    delay = rng.choice([50, 75, 100, 600], files).astype("timedelta64[m]")
    available = (init[:, None] + delay).astype("datetime64[ns]")
    available[rng.random(files) < 0.15] = NAT
    ids = np.array([f"p{k}" for k in range(n_points)], dtype=object)
    ds = xr.Dataset(
        attrs={"title": "forecasts"},
        coords={
            "init_time": ("init_time", init, {"standard_name": "forecast_reference_time"}),
            "lead_time": ("lead_time", lead, {"standard_name": "forecast_period"}),
            "valid_time": (("init_time", "lead_time"), init[:, None] + lead, {"standard_name": "time"}),
            "status": (("init_time", "lead_time"), status, {"long_name": "what came of the file"}),
            "available_at": (("init_time", "lead_time"), available, {"long_name": "when it was published"}),
            "point_id": ("point", ids),
            "latitude": ("point", 40.0 + np.arange(n_points), {"units": "degrees_north"}),
            "crs": ((), np.int32(0)),
        },
    )
    for number, (name, selector) in enumerate(selectors.items()):
        values = (np.arange(np.prod((*files, n_points))).reshape(*files, n_points) + number / 4).astype(np.float32)
        values[np.isin(status, HOLLOW)] = np.nan
        values[:, lead < FIRST_LEAD.get(name, 0) * MINUTE] = np.nan
        attrs = {"units": "K" if number == 0 else "kg m-2", "long_name": name, "hrrr_selector": selector}
        ds[name] = (("init_time", "lead_time", "point"), values, attrs)
    return ds


def value(ds: xr.Dataset, name: str, init: Any, lead: Any) -> np.ndarray:
    """At one run and lead time, dims (point,); NaN if the dataset has no such forecast."""
    i = np.flatnonzero(ds.init_time.values == init)
    j = np.flatnonzero(ds.lead_time.values == lead)
    if not (len(i) and len(j)):
        return np.full(ds.sizes["point"], np.nan)
    return np.asarray(ds[name].values[i[0], j[0]])


def valid_times(ds: xr.Dataset) -> list[np.datetime64]:
    return sorted({init + lead for init in ds.init_time.values for lead in ds.lead_time.values})


def candidates(ds: xr.Dataset, valid: Any, first_lead: int) -> list[tuple[int, int]]:
    """Positions of the forecasts for a time, the newest run first."""
    return [
        (i, j)
        for i, init in sorted(enumerate(ds.init_time.values), key=lambda pair: pair[1], reverse=True)
        for j, lead in enumerate(ds.lead_time.values)
        if init + lead == valid and lead >= first_lead * MINUTE
    ]


def best_of(ds: xr.Dataset, valid: Any, first_lead: int) -> tuple[int, int] | None:
    files = candidates(ds, valid, first_lead)
    status = ds.status.values
    for allowed in ([COMPLETE], PARTIAL):
        for i, j in files:
            if status[i, j] in allowed:
                return i, j
    return None


def newest_of(ds: xr.Dataset, valid: Any, first_lead: int, moment: Any) -> tuple[int, int] | None:
    available = ds.available_at.values
    known = [(i, j) for i, j in candidates(ds, valid, first_lead) if available[i, j] <= moment]
    return known[0] if known else None


def check_choice(ds: xr.Dataset, result: xr.Dataset, choose: Any) -> None:
    """Every value and the coordinates are those of the forecast that the oracle chooses."""
    for k, valid in enumerate(result.valid_time.values):
        for name, first_lead in FIRST_LEAD.items():
            found = choose(valid, first_lead)
            expected = np.full(ds.sizes["point"], np.nan) if found is None else ds[name].values[found]
            np.testing.assert_array_equal(result[name].values[k], expected)
        found = choose(valid, 0)
        if found is None:
            assert np.isnat(result.init_time.values[k])
            assert np.isnat(result.lead_time.values[k])
            assert np.isnat(result.available_at.values[k])
            assert result.status.values[k] == NOT_INGESTED
        else:
            assert result.init_time.values[k] == ds.init_time.values[found[0]]
            assert result.lead_time.values[k] == ds.lead_time.values[found[1]]
            assert result.status.values[k] == ds.status.values[found]
            np.testing.assert_array_equal(result.available_at.values[k], ds.available_at.values[found])


def check_by_valid_time(ds: xr.Dataset, result: xr.Dataset) -> None:
    assert result.valid_time.values.tolist() == [int(v.astype("int64")) for v in valid_times(ds)]
    np.testing.assert_array_equal(result.lead_time, ds.lead_time)
    for k, valid in enumerate(result.valid_time.values):
        for j, lead in enumerate(ds.lead_time.values):
            assert result.init_time.values[k, j] == valid - lead
            for name in SELECTORS:
                np.testing.assert_array_equal(result[name].values[k, j], value(ds, name, valid - lead, lead))


def check_latest(ds: xr.Dataset, result: xr.Dataset, moment: np.datetime64) -> None:
    check_choice(ds, result, lambda valid, first: newest_of(ds, valid, first, moment))
    minutes = ds.lead_time.values // MINUTE
    step = next(step for step in (60, 30, 15) if not (minutes % step).any())
    start = moment.astype("datetime64[h]")
    while start + step * MINUTE <= moment:
        start += step * MINUTE
    begun = ds.isel(init_time=np.flatnonzero(ds.init_time.values <= moment))
    expected = [valid for valid in valid_times(begun) if valid >= start]
    while expected and newest_of(ds, expected[-1], 0, moment) is None:
        expected.pop()
    assert result.valid_time.values.tolist() == [int(valid.astype("int64")) for valid in expected]


class CountingStore(WrapperStore[Any]):
    """Remembers every key that was asked for."""

    def __init__(self, store: Any, keys: list[str] | None = None) -> None:
        super().__init__(store)
        self.keys: list[str] = [] if keys is None else keys

    def _with_store(self, store: Any) -> CountingStore:
        return CountingStore(store, self.keys)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Buffer | None:
        self.keys.append(key)
        return await super().get(key, prototype, byte_range)

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> list[Buffer | None]:
        wanted = list(key_ranges)
        self.keys += [key for key, _ in wanted]
        return await super().get_partial_values(prototype, wanted)

    async def _get_many(self, requests: Any) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        wanted = list(requests)
        self.keys += [key for key, *_ in wanted]
        async for found in super()._get_many(wanted):
            yield found

    def take(self) -> list[str]:
        """Keys of chunks since the last time."""
        taken = [key for key in self.keys if not key.endswith("zarr.json")]
        self.keys.clear()
        return taken
