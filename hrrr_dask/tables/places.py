"""Opens the place of a table by its format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hrrr_dask.errors import ConfigError
from hrrr_dask.tables.schema import TableSpec
from hrrr_dask.tables.targets import Target

__all__ = ["FORMATS", "open_target"]

FORMATS: Final = ("parquet", "duckdb", "iceberg")


def open_target(
    to: str,
    kind: str,
    spec: TableSpec,
    options: Mapping[str, str],
    table: str | None = None,
    catalog: Mapping[str, str] | None = None,
) -> Target:
    """Open the place of a table.

    Raises
    ------
    ConfigError
        If the format is unknown, or has no such option, or a library that it needs is not installed.
    StoreMismatchError
        If something else is there.
    """
    if kind != "iceberg" and (table is not None or catalog):
        given = "a table's name" if table is not None else "a catalogue"
        raise ConfigError(f"{given} is only for format iceberg, not for {kind}: leave it out")
    if kind == "parquet":
        from hrrr_dask.tables.parquet_target import ParquetTarget  # noqa: PLC0415  only what is needed

        return ParquetTarget(to, schema=spec.schema, origin=spec.origin, options=options)
    if kind == "duckdb":
        from hrrr_dask.tables.duckdb_target import DuckdbTarget  # noqa: PLC0415  an optional dependency

        return DuckdbTarget(to, schema=spec.schema, origin=spec.origin)
    if kind == "iceberg":
        from hrrr_dask.tables.iceberg_target import DEFAULT_TABLE, IcebergTarget  # noqa: PLC0415

        name = DEFAULT_TABLE if table is None else table
        return IcebergTarget(
            to, schema=spec.schema, origin=spec.origin, table=name, options=options, catalog=catalog or {}
        )
    raise ConfigError(f"format {kind!r} is unknown: take one of {', '.join(FORMATS)}")
