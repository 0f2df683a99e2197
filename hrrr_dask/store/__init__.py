"""The Zarr store: how it is described, made and grown, and how any number of writers write its shards.

Uses `objects` for bytes and `ledger` for what was committed. Promises that only whole shards are written, and that no
writer removes what another one committed.
"""

__all__ = [
    "conditional_writes",
    "existing",
    "merge",
    "point_rows",
    "published",
    "settings_attribute",
    "spec",
    "store",
    "template",
    "user_attributes",
]
