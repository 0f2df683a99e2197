"""What one source lacked, made good by the next: two extracts of the same file put together. Pure."""

from __future__ import annotations

from dataclasses import replace

from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.records import Extract, FileOutcome, Reading

__all__ = ["completed", "still_missing"]


def still_missing(reading: Reading, outcome: FileOutcome) -> Reading:
    """What is left to be read of a file.

    Parameters
    ----------
    reading : Reading
        What was to be read.
    outcome : FileOutcome
        What came of it.

    Returns
    -------
    Reading
        Only the variables that are missing.
    """
    return replace(reading, variables=tuple(name for name in reading.variables if name in outcome.reasons))


def completed(first: Extract, again: Extract) -> Extract:
    """Put what another source had in the place of gaps.

    Parameters
    ----------
    first : Extract
        Of the sources before.
    again : Extract
        Of the next one: only the variables that were missing.

    Returns
    -------
    Extract
        Of the first one's variables. The details of a value that came from elsewhere say what was wrong before; a gap
        has the reason that may heal, if one of the sources gave such a one, else the first source's.
    """
    before, after = first.outcome, again.outcome
    values, at = first.values.copy(), {name: v for v, name in enumerate(before.wanted)}
    reasons, details, elsewhere = dict(before.reasons), dict(before.details), dict(before.elsewhere)
    for v, name in enumerate(after.wanted):
        if name in after.reasons:
            reasons[name] = _reason(before.reasons[name], after.reasons[name])
            details[name] = f"{before.details.get(name, '')}; then {_told(after, name)}"
            continue
        values[at[name]] = again.values[v]
        details[name] = _told(before, name)
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


def _told(outcome: FileOutcome, name: str) -> str:
    """What was wrong, and where."""
    detail, source = outcome.details.get(name, ""), outcome.origin.source
    where = "" if source in detail else f" ({source})"
    return f"{outcome.reasons[name]}{where}: {detail}"
