"""Encodes and decodes one ledger entry: its columns, its name, its Parquet bytes. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hrrr_dask.ledger.parquet import ParquetFile, encode_tables, open_parquet, read_rows
from hrrr_dask.records import FileOutcome, Origin

__all__ = ["SCHEMA", "Attempt", "checksum", "decode_entry", "encode_entry", "read_ledger_rows"]

ENTRY_VERSION: Final = 3

_WORD: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("init_time", pa.timestamp("s"), nullable=False),
        pa.field("lead_hours", pa.int16(), nullable=False),
        pa.field("lead_minutes", pa.int16(), nullable=False),
        pa.field("variable", _WORD, nullable=False),
        pa.field("outcome", _WORD, nullable=False),
        pa.field("detail", _WORD),
        pa.field("first_point", pa.int32(), nullable=False),
        pa.field("n_points", pa.int32(), nullable=False),
        pa.field("attempt", pa.int32(), nullable=False),
        pa.field("source", _WORD),
        pa.field("etag", _WORD),
        pa.field("published", pa.timestamp("s")),
        pa.field("ingested", pa.timestamp("s")),
        pa.field("inventory", _WORD),
        pa.field("file_bytes_read", pa.int64()),
        pa.field("file_requests", pa.int32()),
        pa.field("file_seconds", pa.float32()),
        pa.field("checksum", pa.uint32()),
        pa.field("flags", pa.uint16(), nullable=False),
        pa.field("engine", _WORD),
        pa.field("package_version", _WORD),
        pa.field("job", _WORD),
        pa.field("entry", _WORD, nullable=False),
    ]
)
"""Columns of an entry. ``lead_hours`` is the hour in the file's name, ``lead_minutes`` the lead time. A row is about
the points from ``first_point`` to before ``n_points``. ``attempt`` counts the attempts at the value. ``checksum`` is
the CRC-32C of the values as little-endian float32; null for a gap and where it is unknown. ``flags`` are those of
:mod:`hrrr_dask.quality.flags` that any of the values has. The ``file_`` columns repeat the figure of the file."""


ORIGIN: Final = tuple(each.name for each in fields(Origin))
"""Columns that describe the source of a value."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to commit a step: who, what and when."""

    partition: int
    """Number of the partition."""
    job: str
    """Identifier of the command."""
    number: int
    """Number of the attempt, unique within the job and the partition."""
    ingested: datetime
    """Time of the commit, UTC."""
    engine: str
    """Requested decoding engine; a row has the engine that decoded it."""
    package_version: str
    """Version of hrrr_dask."""

    @property
    def entry(self) -> str:
        """Name of the entry below ``.hrrr/ledger``; within a partition, names sort by the time of the commit."""
        moment = f"{self.ingested:%Y%m%dT%H%M%S.%fZ}"
        return f"{self.partition:06d}/{moment}-{self.job}-{self.number}.parquet"


def checksum(values: NDArray[np.float32]) -> int:
    """Return the CRC-32C (RFC 3720) of values as little-endian float32.

    Examples
    --------
    >>> checksum(np.array([271.5, np.nan], dtype=np.float32))
    3448602353
    """
    found: int = google_crc32c.value(np.ascontiguousarray(values, dtype="<f4").tobytes())
    return found


def encode_entry(outcomes: Iterable[FileOutcome], attempt: Attempt, tried: NDArray[np.int32] | None = None) -> bytes:
    """Encode an entry as Parquet.

    Parameters
    ----------
    outcomes : iterable of FileOutcome
        Outcome of each file; gives one row for each requested variable.
    attempt : Attempt
        The attempt that commits.
    tried : ndarray of int32, optional
        Number of earlier attempts, for each row.

    Returns
    -------
    bytes
        Content of the object.
    """
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for outcome in outcomes:
        for name, values in _rows(outcome, attempt.engine).items():
            columns[name].extend(values)
    n_rows = len(columns["variable"])
    about = {
        "ingested": attempt.ingested.replace(microsecond=0),
        "package_version": attempt.package_version,
        "job": attempt.job,
        "entry": attempt.entry,
    }
    for name, value in about.items():
        columns[name] = [value] * n_rows
    columns["attempt"] = [1] * n_rows if tried is None else (tried + 1).tolist()
    arrays = [pa.array(columns[field.name], type=_plain(field.type)).cast(field.type) for field in SCHEMA]
    note = {"hrrr_dask": json.dumps({"entry_version": ENTRY_VERSION, "partition": attempt.partition})}
    schema = SCHEMA.with_metadata(note)
    return encode_tables([pa.Table.from_arrays(arrays, schema=schema)], schema)


def decode_entry(data: bytes) -> pa.Table:
    """Decode the rows of an entry encoded by :func:`encode_entry`."""
    return read_ledger_rows(open_parquet(data), SCHEMA)


def read_ledger_rows(file: ParquetFile, schema: pa.Schema, row_group: int | None = None) -> pa.Table:
    """Read columns of an entry, of one row group or of all; entries of version 0.1 have no ``lead_minutes``."""
    if "lead_minutes" not in schema.names or "lead_minutes" in file.schema_arrow.names:
        return read_rows(file, schema, row_group)
    at = schema.get_field_index("lead_minutes")
    present = [name for name in dict.fromkeys(["lead_hours", *schema.names]) if name != "lead_minutes"]
    table = read_rows(file, pa.schema([SCHEMA.field(name) for name in present]), row_group)
    minutes = pc.multiply(table["lead_hours"], pa.scalar(60, pa.int16()))
    return table.select([n for n in schema.names if n != "lead_minutes"]).add_column(at, schema.field(at), minutes)


def _rows(outcome: FileOutcome, engine: str) -> dict[str, list[Any]]:
    wanted = outcome.wanted
    same = {
        "init_time": outcome.file.init_time,
        "lead_hours": outcome.file.lead_hours,
        "lead_minutes": outcome.lead_minutes,
        "first_point": outcome.first_point,
        "n_points": outcome.n_points,
        "file_bytes_read": outcome.bytes_read,
        "file_requests": outcome.requests,
        "file_seconds": outcome.seconds,
    }
    origins = [outcome.origin_of(name) for name in wanted]
    return {
        "variable": list(wanted),
        "outcome": [outcome.reasons.get(name, "complete") for name in wanted],
        "engine": [outcome.engines.get(name, engine) for name in wanted],
        "detail": [outcome.details.get(name, "") for name in wanted],
        "checksum": [outcome.checksums.get(name) for name in wanted],
        "flags": [outcome.flags.get(name, 0) for name in wanted],
        **{name: [getattr(origin, name) for origin in origins] for name in ORIGIN},
        **{name: [value] * len(wanted) for name, value in same.items()},
    }


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
