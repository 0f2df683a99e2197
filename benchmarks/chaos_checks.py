"""Checks that a store from :mod:`benchmarks.chaos` equals that of an undisturbed run, and that its ledger is true."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

import hrrr_dask
from benchmarks.chaos_case import VARIABLES
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.outcomes import COMPLETE, OUTCOMES
from hrrr_dask.records import GribFile
from hrrr_dask.store.settings_attribute import SETTINGS, settings_in

__all__ = ["Undisturbed", "WrongError", "check_store"]

PUBLISHED: Final = np.datetime64("2024-01-01T07:05:09")
"""Last-Modified of every object on the servers."""

_STAGED = re.compile(r"#\d+$")
"""Temporary file of a process that was killed while writing; obstore and Zarr ignore it."""


class WrongError(AssertionError):
    """The store differs from what it should be."""


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The store of an undisturbed run."""

    objects: dict[str, str]
    """Key to digest."""
    data: xr.Dataset
    """The dataset, in memory."""

    @classmethod
    def of(cls, store: Path) -> Undisturbed:
        """Read a store."""
        with hrrr_dask.open_dataset(str(store)) as data:
            return cls(objects_of(store), data.load())


def objects_of(store: Path) -> dict[str, str]:
    """Return the digests of what readers see, without dates and the history in the root document."""
    found = {}
    for path in sorted(path for path in store.rglob("*") if path.is_file() and not _STAGED.search(path.name)):
        key, data = path.relative_to(store).as_posix(), path.read_bytes()
        if key == "zarr.json":
            root = json.loads(data)
            said = settings_in(root)
            del said["growth"], said["source"]
            said["cohorts"] = [{**cohort, "growth": 0} for cohort in said["cohorts"]]
            del root["attributes"][SETTINGS]
            data = json.dumps([root, said]).encode()
        if not key.startswith((".hrrr/", "available_at/c/")):
            found[key] = hashlib.sha256(data).hexdigest()
    return found


def check_store(store: Path, undisturbed: Undisturbed, lost: Collection[GribFile], log: Path | None) -> None:
    """Compare a store with one that nothing happened to, and its ledger with both.

    Parameters
    ----------
    store : Path
        Complete as far as it can be.
    undisturbed : Undisturbed
        What it should be.
    lost : collection of GribFile
        Files that no source had: their values are NaN with a reason, or right.
    log : Path or None
        Lines "begun ENTRY" and "done ENTRY" of all who committed; None where nobody kept one.

    Raises
    ------
    WrongError
        Naming what differs.
    """
    _check_objects(
        objects_of(store), undisturbed.objects, {(file.init_time - _first_day(undisturbed)).days for file in lost}
    )
    with hrrr_dask.open_dataset(str(store)) as found:
        found.load()
    _check_values(found, undisturbed.data, lost)
    frame = to_dataframe(str(store))
    if log is not None:
        _check_entries(set(frame.entry), log)
    _check_rows(frame)
    _check_status(store, found, frame)


def _first_day(undisturbed: Undisturbed) -> pd.Timestamp:
    return pd.Timestamp(undisturbed.data.init_time.values[0]).normalize()


def _check_objects(found: dict[str, str], wanted: dict[str, str], partitions: set[int]) -> None:
    def touched(key: str) -> bool:
        parts = key.split("/")
        return len(parts) > 2 and parts[0] in (*VARIABLES, "status") and parts[1] == "c" and int(parts[2]) in partitions

    _same("keys", set(found), set(wanted))
    _same("objects", *({key: each[key] for key in each if not touched(key)} for each in (found, wanted)))


def _check_values(found: xr.Dataset, wanted: xr.Dataset, lost: Collection[GribFile]) -> None:
    gone = np.zeros(wanted.status.shape, dtype=bool)
    for file in lost:
        gone[_place(wanted, file.init_time, file.lead_hours)] = True
    for name in VARIABLES:
        same = found[name].values.view(np.uint32) == wanted[name].values.view(np.uint32)
        allowed = same | (gone[:, :, None] & np.isnan(found[name].values))
        _same(f"wrong values of {name}", int((~allowed).sum()), 0)
    dates = found.available_at.values
    _same("dates", set(dates[~np.isnat(dates)].astype("datetime64[s]")) <= {PUBLISHED}, True)


def _check_entries(found: set[str], log: Path) -> None:
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    for word in ("begun", "done"):
        own = {entry for what, entry in lines if what == word and not entry.startswith("gathered-")}
        missing = own - found if word == "done" else found - own
        _same(f"entries of the ledger that were not {word}" if word == "begun" else "lost entries", missing, set())


def _check_rows(frame: pd.DataFrame) -> None:
    """Each value complete once, or twice by one command; its attempts counted up; no fault of our own."""
    _same("internal errors", list(frame[frame.outcome == "internal-error"].detail[:1]), [])
    for (init, lead, name), rows in _by_value(frame):
        what = f"{name} of {init:%Y-%m-%dT%H} +{lead} h"
        _same(f"attempts at {what}", list(rows.attempt), list(range(1, len(rows) + 1)))
        complete = rows[rows.outcome == "complete"]
        if complete.job.nunique() > 1:
            raise WrongError(f"{what} is complete {len(complete)} times, by several commands")


def _check_status(store: Path, found: xr.Dataset, frame: pd.DataFrame) -> None:
    """A value is there if, and only if, the ledger says so; ``status`` and the command of that name say the same."""
    shown = found.status.values.astype(np.uint8)
    wanted = np.zeros_like(shown)
    gaps: Counter[str] = Counter()
    for (init, lead, name), rows in _by_value(frame):
        place = _place(found, init, lead)
        there = bool((rows.outcome == "complete").any())
        _same(f"{name} at {place} is finite", bool(np.isfinite(found[name].values[place]).all()), there)
        last = "complete" if there else str(rows.outcome.iloc[-1])
        gaps[last] += not there
        wanted[place] = max(wanted[place], OUTCOMES[last].number)
    _same("files of which the ledger says nothing", int((wanted == 0).sum()), 0)
    _same("files whose status is not the ledger's", int((shown != wanted).sum()), 0)
    told = hrrr_dask.status(str(store))
    complete = int((wanted == COMPLETE).sum())
    _same(
        "status",
        (told.files_complete, told.files_with_gaps, told.files_to_do, told.gaps),
        (complete, wanted.size - complete, 0, {name: count for name, count in gaps.items() if count}),
    )


def _by_value(frame: pd.DataFrame) -> Iterator[tuple[tuple[pd.Timestamp, int, str], pd.DataFrame]]:
    keys: Any = frame.groupby(["init_time", "lead_hours", "variable"], observed=True, sort=False)
    yield from keys


def _place(data: xr.Dataset, init: Any, lead: int) -> tuple[int, int]:
    inits, leads = data.init_time.values, data.lead_time.values.astype("timedelta64[h]").astype(int)
    return int(np.flatnonzero(inits == np.datetime64(init, "ns"))[0]), int(np.flatnonzero(leads == lead)[0])


def _same(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise WrongError(f"{what}: found {_short(found, wanted)}, wanted {_short(wanted, found)}")


def _short(one: Any, other: Any) -> str:
    if isinstance(one, dict) and isinstance(other, dict):
        one = {key: value for key, value in one.items() if other.get(key) != value}
    if isinstance(one, set) and isinstance(other, set):
        one = one - other
    return repr(one)[:500]
