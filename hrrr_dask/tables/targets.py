"""What the exporter needs of a place for tables: which days it holds, where files go, and one step that shows them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol

__all__ = ["DayFile", "Target", "describe_difference"]


@dataclass(frozen=True, slots=True)
class DayFile:
    """One Parquet file with all rows of one init date."""

    day: date
    """UTC date of init_time."""
    url: str
    """Path, or s3://bucket/key."""
    rows: int
    bytes: int
    fingerprint: str
    """Of what the store holds of this day for this export: the ledger, the selection, the layout, the format."""


class Target(Protocol):
    """Where exported tables go; what it holds becomes visible in one step."""

    def read_fingerprints(self) -> dict[date, str]:
        """Fingerprints of the days that are committed."""

    @property
    def files_url(self) -> str:
        """Directory under which workers write new files, each under a name of its own."""

    def commit(self, new: Sequence[DayFile], gone: Collection[date]) -> None:
        """Replace the days of ``new`` and drop the days of ``gone``, all at once."""


def describe_difference(there: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    """Say how the origin of a table differs from that of an export; empty if it does not.

    Examples
    --------
    >>> describe_difference({"layout": "long"}, {"layout": "wide"})
    'its layout is long, not wide'
    """
    keys = [key for key in dict.fromkeys([*there, *wanted]) if there.get(key) != wanted.get(key)]
    return "; ".join(f"its {key} is {there.get(key, 'unknown')}, not {wanted.get(key, 'unknown')}" for key in keys)
