"""The ledger: one row for each value that was wanted, with its outcome, its source and its checksum.

Uses `objects` for bytes and `planning` for positions. A row is written after the shards that it describes: it is the
commit. Rows are never changed; `state` reduces them to the current state of each value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrrr_dask.ledger.ledger import to_dataframe

__all__ = ["completeness", "expected", "gaps", "ledger", "parquet", "rows", "state", "to_dataframe"]


def __getattr__(name: str) -> Any:
    """Import `to_dataframe` on first use, because it needs pyarrow."""
    if name != "to_dataframe":
        raise AttributeError(f"module 'hrrr_dask.ledger' has no attribute {name!r}")
    from hrrr_dask.ledger.ledger import to_dataframe  # noqa: PLC0415  see above

    return to_dataframe
