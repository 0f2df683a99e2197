"""Settings: the only place where they enter, their defaults and their checks.

Uses `catalog` for names. Promises that an unknown setting is an error with a suggestion, and that the result is a
frozen value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrrr_dask.config.settings import DEFAULTS

__all__ = ["DEFAULTS", "duration", "kubernetes", "period", "settings", "shares"]


def __getattr__(name: str) -> Any:
    """Import `DEFAULTS` on first use, because it needs Dask and the start of a command does not."""
    if name != "DEFAULTS":
        raise AttributeError(f"module 'hrrr_dask.config' has no attribute {name!r}")
    from hrrr_dask.config.settings import DEFAULTS  # noqa: PLC0415  see above

    return DEFAULTS
