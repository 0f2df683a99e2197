"""Combines what two sources returned for the same file: the next source fills the gaps of the one before. Pure."""

from __future__ import annotations

from dataclasses import replace

from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.records import Extract, FileOutcome, Reading

__all__ = ["fill_gaps", "remaining_reading"]


def remaining_reading(reading: Reading, outcome: FileOutcome) -> Reading:
    """Return what is still to be read of a file.

    Parameters
    ----------
    reading : Reading
        What was requested.
    outcome : FileOutcome
        Its outcome so far.

    Returns
    -------
    Reading
        Only the variables that are missing.
    """
    return replace(reading, variables=tuple(name for name in reading.variables if name in outcome.reasons))


def fill_gaps(first: Extract, again: Extract) -> Extract:
    """Fill the gaps of an extract with the values of the next source.

    Parameters
    ----------
    first : Extract
        Extract from the sources before.
    again : Extract
        Extract from the next source, of the missing variables only.

    Returns
    -------
    Extract
        For the variables of ``first``. The details of a value from the next source say what was wrong before. A gap
        keeps the retryable reason if one of the sources gave one, else the reason of the first source.
    """
    before, after = first.outcome, again.outcome
    values, at = first.values.copy(), {name: v for v, name in enumerate(before.wanted)}
    reasons, details, elsewhere = dict(before.reasons), dict(before.details), dict(before.elsewhere)
    for v, name in enumerate(after.wanted):
        if name in after.reasons:
            reasons[name] = _reason(before.reasons[name], after.reasons[name])
            details[name] = f"{before.details.get(name, '')}; then {_describe_gap(after, name)}"
            continue
        values[at[name]] = again.values[v]
        details[name] = _describe_gap(before, name)
        elsewhere[name] = after.origin
        del reasons[name]
    outcome = replace(
        before,
        reasons=reasons,
        details=details,
        elsewhere=elsewhere,
        bytes_read=before.bytes_read + after.bytes_read,
        requests=before.requests + after.requests,
        seconds=before.seconds + after.seconds,
        engines=before.engines | after.engines,
        checksums=before.checksums | after.checksums,
        flags=before.flags | after.flags,
    )
    return Extract(values, outcome)


def _reason(first: str, then: str) -> str:
    return then if OUTCOMES[first].heals != "always" and OUTCOMES[then].heals == "always" else first


def _describe_gap(outcome: FileOutcome, name: str) -> str:
    """Describe what was wrong, and at which URL."""
    detail, source = outcome.details.get(name, ""), outcome.origin.source
    where = "" if source in detail else f" ({source})"
    return f"{outcome.reasons[name]}{where}: {detail}"
