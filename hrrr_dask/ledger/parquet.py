"""Reads and writes Parquet in the calling thread alone: no thread of Arrow is started.

A thread of Arrow that releases a Python object while the interpreter exits ends the process with SIGABRT, or lets it
hang for ever (issues 34314, 39162 and 50482 of apache/arrow). So columns are decoded without Arrow's pool for
computing, files are not read ahead by its pool for input, and bytes are in Arrow's own buffers.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import pyarrow as pa
from pyarrow.parquet import ParquetFile, ParquetWriter

__all__ = ["ParquetFile", "encode_tables", "open_parquet", "read_rows"]


def open_parquet(source: bytes | io.RawIOBase) -> ParquetFile:
    """Open the bytes of a Parquet object, or a file that is read piece by piece."""
    file = pa.BufferReader(source) if isinstance(source, bytes) else pa.PythonFile(source, mode="r")
    return ParquetFile(file, pre_buffer=False)


def read_rows(file: ParquetFile, schema: pa.Schema, row_group: int | None = None) -> pa.Table:
    """Read the columns of a schema, of one row group or of all."""
    if row_group is None:
        table = file.read(columns=schema.names, use_threads=False)
    else:
        table = file.read_row_group(row_group, columns=schema.names, use_threads=False)
    return table.select(schema.names).cast(schema)


def encode_tables(tables: Iterable[pa.Table], schema: pa.Schema, row_group_size: int | None = None) -> bytes:
    """Encode tables as one Parquet object; a table of at most `row_group_size` rows is one row group."""
    sink = pa.BufferOutputStream()
    with ParquetWriter(sink, schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table, row_group_size=row_group_size)
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded
