"""Columns of a table of Iceberg: what they mean, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

__all__ = ["documented", "numbered"]

_DOCS: Final[Mapping[str, str]] = {
    "init_time": "Start of the model run, UTC",
    "lead_time_h": "Time from init_time to valid_time, in hours",
    "valid_time": "Time that the forecast is for, UTC",
    "point_id": "Identifier of the point",
    "latitude": "Latitude of the point, degrees north, WGS 84",
    "longitude": "Longitude of the point, degrees east, WGS 84",
    "variable": "Name of the variable",
    "value": "Forecast value, in the units of the column units",
    "units": "Units of the value",
    "source": "File of the archive that the value was read from",
    "gap": "Reason for a missing value, as in the ledger; null for a value",
}


def documented(schema: pa.Schema) -> pa.Schema:
    """Give the columns their descriptions, and let all be empty."""

    def with_doc(field: pa.Field) -> pa.Field:
        doc = (field.metadata or {}).get(b"doc") or _DOCS.get(field.name, "").encode()
        return pa.field(field.name, field.type, nullable=True, metadata={b"doc": doc} if doc else None)

    return pa.schema([with_doc(field) for field in schema])


def numbered(schema: pa.Schema) -> Any:
    """Return Iceberg's schema, with numbers of the columns."""
    from pyiceberg.io.pyarrow import pyarrow_to_schema  # noqa: PLC0415

    fields = [
        field.with_metadata({**(field.metadata or {}), b"PARQUET:field_id": str(number).encode()})
        for number, field in enumerate(schema, start=1)
    ]
    return pyarrow_to_schema(pa.schema(fields))
