"""Checks the health of a store by a few requests: its age, and the gaps, flags and checksums of its recent runs."""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from hrrr_dask.audit.checksums import sample_checksums
from hrrr_dask.audit.recent import Recent, look_back, newest_with_values, recent_inits
from hrrr_dask.audit.verify import find_period
from hrrr_dask.config.duration import format_age, parse_duration
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.config.shares import parse_share
from hrrr_dask.display.figures import format_count, format_share
from hrrr_dask.errors import ConfigError, StoreError
from hrrr_dask.ledger.expected import draw_sample
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.planning.runs import newest_run, usual_age
from hrrr_dask.read.opening import load_existing
from hrrr_dask.report.checked import Checked, CheckReport
from hrrr_dask.report.differences import VerifyFindings
from hrrr_dask.store.existing import Existing

__all__ = ["check"]

NEVER: Final = "none"
"""Limit that is never reached."""

RECENT: Final = "7d"
"""Default length of the recent period."""

WRITE_KEY: Final = ".hrrr/write-test"
"""Key of the object that is written and deleted; always the same, so that a kill leaves one at most."""


def check(
    store: str | os.PathLike[str],
    *,
    max_age: str | float | timedelta | None = None,
    max_gaps: str | float = "1%",
    max_flags: str | float = NEVER,
    period: str | float | timedelta | None = None,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    checksums: int | str = 1,
    writable: bool = False,
    seed: int | None = None,
    store_options: Mapping[str, str] | None = None,
) -> CheckReport:
    """Check the health of a store: is it readable, up to date, complete and plausible.

    Only the ledger of the recent period and a few arrays are read, and nothing is written by default.

    Parameters
    ----------
    store : str or path
        URL or directory.
    max_age : str, float or timedelta, optional
        Maximum time since the init time of the newest run with values; a number is seconds. By default, the age that
        a store reaches if it is updated every hour: 3 h if it has every run. ``none`` for no limit.
    max_gaps : str or float
        Maximum share of missing values (init_time, lead_time, variable) in the period, such as ``1%`` or 0.01, or
        ``none``. A file counts from two hours after its usual publication on.
    max_flags : str or float
        Maximum share of fields (init_time, lead_time, variable) of the period with an implausible value at any point,
        or ``none``. These are the flags in the ledger, which need no other variable.
    period : str, float or timedelta, optional
        Length of the recent period up to the newest run that the store should have; 7 d by default.
    start, end : str or datetime, optional
        First and last init time to use instead of the recent period.
    checksums : int or str
        How many arrays (one variable in one partition of the period) are compared with their checksums: a number,
        or a share of all such as ``5%``. They are drawn at random.
    writable : bool
        Write and delete a small object, too.
    seed : int, optional
        Seed of the sample of arrays.
    store_options : mapping, optional
        Endpoint options without secrets.

    Returns
    -------
    CheckReport
        Each check with what was found and what to do.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.
    StoreError
        If it cannot be read.
    ConfigError
        If a limit is invalid.
    PlanError
        If the store has no run in the given period.

    Examples
    --------
    >>> report = hrrr_dask.check("farms.zarr", max_age="none")
    >>> report.outcome, report.exit_code
    ('failed', 3)
    >>> for found in report.failed:
    ...     print(found.name, "-", found.found)
    gaps - 10 % of the values are missing, at most 1 % may be: 11 truncated, 11 not-published
    """
    started, now, url = time.perf_counter(), _now(), os.fspath(store)
    limits = _parse_limits(max_age, max_gaps, max_flags, checksums)
    if period is not None and (start is not None or end is not None):
        raise ConfigError("period and start or end say in two ways what is recent: give one of them")
    recent_s = parse_duration("period", RECENT if period is None else period)
    options = resolve_settings(store_options=store_options)["store-options"]
    existing, blobs = load_existing(url, options), open_blobs(url, options)
    due, ledger = newest_run(existing.selection, now), Ledger(blobs)
    if start is None and end is None:
        inits = recent_inits(existing, due or now, timedelta(seconds=recent_s))
    else:
        inits = find_period(existing, start, end)
    recent = Recent.read(ledger, existing, inits)
    checks = [Checked("readable", ok=True, found=f"metadata and ledger read in {time.perf_counter() - started:.1f} s")]
    newest = newest_with_values(recent.states, existing, inits) if end is None else None
    if newest is None:
        newest = look_back(ledger, existing, inits.start if end is None else existing.requested.stop)
    age_s = None if newest is None else (now - newest).total_seconds()
    wanted, gaps = recent.count_gaps(now)
    flags, flagged, fields = recent.count_flags()
    sample = _draw(recent.arrays(), limits, secrets.randbelow(1_000_000) if seed is None else seed)
    findings = sample_checksums(existing, blobs, inits, recent.tables, sample)
    if writable:
        checks.append(_check_writable(url, options))
    checks += [
        _check_age(newest, due, age_s, limits, existing, now),
        _check_gaps(wanted, gaps, limits),
        _check_flags(flags, flagged, fields, limits),
        _check_checksums(findings, sorted({existing.selection.variables[v].name for _, v in sample})),
    ]
    return CheckReport(
        store=url,
        checks=tuple(checks),
        first_init_time=existing.axis.init_time(inits.start),
        last_init_time=existing.axis.init_time(inits.stop - 1),
        newest_run=newest,
        newest_run_age_s=age_s,
        due_run=due,
        values_wanted=wanted,
        gaps=gaps,
        flags=flags,
        checksums_compared=findings.compared,
        checksums_differing=findings.compared - findings.equal,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True, slots=True)
class _Limits:
    """What is accepted; None for no limit."""

    age_s: float | None
    """Age of the newest run; negative for the usual one [s]."""
    gaps: float | None
    flags: float | None
    arrays: int | float
    """Arrays to compare: their number, or as a float, their share."""

    def n_arrays(self, number: int) -> int:
        """Return how many of so many arrays are compared."""
        return self.arrays if isinstance(self.arrays, int) else math.ceil(self.arrays * number)


def _parse_limits(
    max_age: str | float | timedelta | None, max_gaps: str | float, max_flags: str | float, checksums: int | str
) -> _Limits:
    age_s = -1.0 if max_age is None else None if max_age == NEVER else parse_duration("max-age", max_age)
    gaps, flags = (
        None if value == NEVER else parse_share(what, value)
        for what, value in (("max-gaps", max_gaps), ("max-flags", max_flags))
    )
    text = str(checksums).strip()
    if not text.isdecimal() and not text.endswith("%"):
        raise ConfigError(f"checksums {checksums!r} is neither a number of arrays nor a share: write it like 3 or 5%")
    return _Limits(age_s, gaps, flags, int(text) if text.isdecimal() else parse_share("checksums", text))


def _draw(arrays: list[tuple[int, int]], limits: _Limits, seed: int) -> list[tuple[int, int]]:
    number = limits.n_arrays(len(arrays))
    return [arrays[k] for k in draw_sample(len(arrays), number, seed)] if number else []


def _check_age(
    newest: datetime | None,
    due: datetime | None,
    age_s: float | None,
    limits: _Limits,
    existing: Existing,
    now: datetime,
) -> Checked:
    advice = "see why hrrr-dask update or watch does not read newer runs"
    if newest is None or age_s is None:
        return Checked("age", ok=limits.age_s is None, found="there is no run with values", advice=advice)
    found = f"the newest run, {newest:%Y-%m-%dT%H}, is {format_age(max(age_s, 0))} old"
    if limits.age_s is None:
        return Checked("age", ok=True, found=found)
    limit_s = usual_age(existing.selection, now).total_seconds() if limits.age_s < 0 else limits.age_s
    if age_s <= limit_s:
        return Checked("age", ok=True, found=f"{found}, at most {format_age(limit_s)}")
    there = f"; {due:%Y-%m-%dT%H} should be published by now" if due is not None and due > newest else ""
    return Checked("age", ok=False, found=f"{found}, more than {format_age(limit_s)}{there}", advice=advice)


def _check_gaps(wanted: int, gaps: Mapping[str, int], limits: _Limits) -> Checked:
    if not wanted:
        return Checked("gaps", ok=True, found="no file of the period is due yet")
    missing = sum(gaps.values())
    found = f"{format_share(missing, wanted)} of the values are missing"
    if limits.gaps is not None:
        found += f", at most {100 * limits.gaps:g} % may be"
    if gaps:
        found += ": " + ", ".join(f"{count:,} {reason}" for reason, count in gaps.items())
    ok = limits.gaps is None or missing <= limits.gaps * wanted
    advice = "hrrr-dask status --gaps lists them, and hrrr-dask update tries those again that may heal"
    return Checked("gaps", ok=ok, found=found, advice="" if ok else advice)


def _check_flags(flags: Mapping[str, int], flagged: int, fields: int, limits: _Limits) -> Checked:
    if not fields:
        return Checked("flags", ok=True, found="the period has no values")
    found = f"{format_share(flagged, fields)} of the fields have an implausible value"
    if limits.flags is not None:
        found += f", at most {100 * limits.flags:g} % may"
    if flags:
        found += ": " + ", ".join(f"{count:,} {name}" for name, count in flags.items())
    ok = limits.flags is None or flagged <= limits.flags * fields
    return Checked("flags", ok=ok, found=found, advice="" if ok else "hrrr-dask quality shows where they are")


def _check_checksums(findings: VerifyFindings, names: list[str]) -> Checked:
    if not names:
        return Checked("checksums", ok=True, found="none were compared")
    of = f"{format_count(findings.compared, 'value')} of {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}"
    if not findings.compared:
        return Checked("checksums", ok=True, found=f"the values of {', '.join(names[:3])} have none in the ledger")
    if not findings.counts and findings.compared == findings.equal:
        return Checked("checksums", ok=True, found=f"{of} match the ledger")
    differing = findings.compared - findings.equal
    where = findings.differences[0].file
    advice = "hrrr-dask verify --checksums lists all"
    return Checked("checksums", ok=False, found=f"{differing:,} of {of} differ, first in {where}", advice=advice)


def _check_writable(url: str, options: Mapping[str, str]) -> Checked:
    blobs = open_blobs(url, options)
    try:
        blobs.put(WRITE_KEY, b"hrrr-dask check\n")
        blobs.delete([WRITE_KEY])
    except StoreError as error:
        return Checked("writable", ok=False, found=f"{error}", advice="see permissions and free space")
    return Checked("writable", ok=True, found="a small object was written and deleted")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
