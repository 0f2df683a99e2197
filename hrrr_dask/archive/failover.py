"""Combines what two sources returned for the same file: the next source fills the gaps of the one before. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.records import Extract, FileOutcome, Reading

__all__ = ["fill_gaps", "remaining_reading"]


def remaining_reading(reading: Reading, outcomes: Iterable[FileOutcome]) -> Reading:
    """Return what is still to be read of a file.

    Parameters
    ----------
    reading : Reading
        What was requested.
    outcomes : iterable of FileOutcome
        Its outcomes so far, one for each lead time.

    Returns
    -------
    Reading
        Only the variables that are missing.
    """
    gaps = {outcome.lead_minutes: outcome.reasons for outcome in outcomes}
    left = ((lead, tuple(name for name in names if name in gaps[lead])) for lead, names in reading.by_lead)
    return replace(reading, by_lead=tuple((lead, names) for lead, names in left if names))


def fill_gaps(first: Sequence[Extract], again: Sequence[Extract]) -> list[Extract]:
    """Fill the gaps of a file with the values of the next source.

    Parameters
    ----------
    first : sequence of Extract
        Extracts from the sources before, one for each lead time.
    again : sequence of Extract
        Extracts from the next source, of the missing variables only.

    Returns
    -------
    list of Extract
        For the lead times and variables of ``first``. The details of a value from the next source say what was wrong
        before. A gap keeps the retryable reason if one of the sources gave one, else the reason of the first source.
    """
    next_source = {extract.outcome.lead_minutes: extract for extract in again}
    tried = again[0].outcome

    def fill(extract: Extract) -> Extract:
        lead = extract.outcome.lead_minutes
        filled = _fill_gaps(extract, next_source[lead]) if lead in next_source else extract
        outcome = replace(
            filled.outcome,
            bytes_read=extract.outcome.bytes_read + tried.bytes_read,
            requests=extract.outcome.requests + tried.requests,
            seconds=extract.outcome.seconds + tried.seconds,
            fetch_s=extract.outcome.fetch_s + tried.fetch_s,
        )
        return replace(filled, outcome=outcome)

    return [fill(extract) for extract in first]


def _fill_gaps(first: Extract, again: Extract) -> Extract:
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
