"""Table of Apache Iceberg: Parquet files of days, which one commit replaces.

A file's name has the fingerprint of its day, so that the fingerprints are always those of the files that a reader
sees: after a commit, after a roll-back to an older snapshot, and after any change by another program. Days without rows
have no file, and their fingerprints in properties of the table.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from hrrr_dask import __version__
from hrrr_dask.errors import ConfigError, StoreConflictError, StoreMismatchError
from hrrr_dask.objects.locations import NO_OPTIONS
from hrrr_dask.tables.iceberg_catalog import catalog_of, explained, unquoted_url
from hrrr_dask.tables.iceberg_schema import documented, numbered
from hrrr_dask.tables.targets import describe_difference

if TYPE_CHECKING:
    import pyarrow as pa

    from hrrr_dask.tables.targets import DayFile

__all__ = ["DEFAULT_TABLE", "IcebergTarget"]

DEFAULT_TABLE: Final = "hrrr.forecasts"
"""Name of the table: namespaces and a name, with dots."""

ATTEMPTS: Final = 8
"""Commits that are tried, each upon the newest state, while other writers are faster."""

LONGEST_WAIT_S: Final = 5.0
THREADS: Final = 8
"""Manifests, or footers of files, that are read at the same time."""

_ORIGIN: Final = "hrrr-dask.origin."
_EMPTY_DAY: Final = "hrrr-dask.empty-day."
_EPOCH: Final = date(1970, 1, 1)
_PARTITIONED_BY: Final = "init_time"
_SORTED_BY: Final = ("init_time", "lead_time_h", "variable", "point_id")


class IcebergTarget:
    """Table of Iceberg in a warehouse.

    Parameters
    ----------
    warehouse : str
        Directory or URL, such as ``s3://bucket/warehouse``.
    schema : pyarrow.Schema
        Columns of the files that will be committed. Timestamps are in microseconds, UTC.
    origin : mapping of str to str
        What must not change in a table: which store it is from, and the layout.
    table : str
        Namespaces and name, with dots.
    options : mapping of str to str
        Options of the storage, as for a store.
    catalog : mapping of str to str
        Properties of pyiceberg's catalogue; see :func:`hrrr_dask.tables.iceberg_catalog.catalog_of`.

    Raises
    ------
    ConfigError
        If pyiceberg is missing, the name is no name of a table, or there is no catalogue.
    StoreMismatchError
        If the table exists, and was not made by an export, or by an export of another store or layout.
    StoreAccessError
        If the catalogue or the storage cannot be reached.
    """

    def __init__(
        self,
        warehouse: str,
        *,
        schema: pa.Schema,
        origin: Mapping[str, str],
        table: str = DEFAULT_TABLE,
        options: Mapping[str, str] = NO_OPTIONS,
        catalog: Mapping[str, str] = NO_OPTIONS,
    ) -> None:
        self._warehouse = unquoted_url(warehouse)
        self._names = tuple(table.split("."))
        if len(self._names) < 2 or not all(self._names):
            raise ConfigError(f"{table!r} is not a name of an Iceberg table: write namespace.name, as {DEFAULT_TABLE}")
        self._table = table
        self._schema = documented(schema)
        self._origin = dict(origin)
        self._access = (self._warehouse, dict(options), dict(catalog))
        with catalog_of(*self._access) as opened, self._explained("read"):
            found = self._load(opened)
            self._location = found.location() if found else "/".join((self._warehouse, *self._names))

    @property
    def files_url(self) -> str:
        """Directory under which workers write new files, each under a name that ends with its fingerprint."""
        return f"{self._location}/data"

    def read_fingerprints(self) -> dict[date, str]:
        """Return the fingerprints of the days that the table holds; empty text for files of another program."""
        with catalog_of(*self._access) as catalog, self._explained("read"):
            table = self._load(catalog)
            return {} if table is None else _fingerprints(table, _files_of_days(table))

    def commit(self, new: Sequence[DayFile], gone: Collection[date]) -> None:
        """Replace the days of ``new`` and drop the days of ``gone`` in one snapshot.

        Days that the table holds already with the same fingerprint stay as they are; without a change there is no
        commit.

        Parameters
        ----------
        new : sequence of DayFile
            Files below :attr:`files_url`, one a day.
        gone : collection of datetime.date
            Days to drop.

        Raises
        ------
        StoreConflictError
            If other writers were faster each time.
        StoreMismatchError
            If the files do not fit the table.
        """
        for file in new:
            if file.rows and _fingerprint_in(file.url) != file.fingerprint:
                raise ValueError(f"the name of {file.url} does not end with the fingerprint of its day")
        from pyiceberg.exceptions import CommitFailedException, ValidationException  # noqa: PLC0415

        with catalog_of(*self._access) as catalog, self._explained("commit to"):
            for attempt in range(ATTEMPTS):
                if attempt:
                    time.sleep(random.uniform(0, min(0.1 * 2**attempt, LONGEST_WAIT_S)))  # noqa: S311
                table = self._load(catalog)
                if table is None and not new:
                    return
                try:
                    self._replace_days(table or self._create(catalog), new, gone)
                except (CommitFailedException, ValidationException) as error:
                    conflict = error
                else:
                    return
        raise StoreConflictError(
            f"other writers changed the table {self._table} in {self._warehouse} {ATTEMPTS} times while a commit was "
            f"tried: run the same command again when they are done ({conflict})"
        )

    def _replace_days(self, table: Any, new: Sequence[DayFile], gone: Collection[date]) -> None:
        files = _files_of_days(table)
        held = _fingerprints(table, files)
        new = [file for file in new if held.get(file.day) != file.fingerprint]
        replaced = {file.day for file in new} | (set(gone) & set(held))
        if not replaced:
            return
        filled = [file for file in new if file.rows]
        emptied = {_EMPTY_DAY + file.day.isoformat(): file.fingerprint for file in new if not file.rows}
        no_longer = [key for day in sorted(replaced) if (key := _EMPTY_DAY + day.isoformat()) in table.properties]

        transaction = table.transaction()
        if filled:
            self._add_columns(transaction)
        if removals := [key for key in no_longer if key not in emptied]:
            transaction.remove_properties(*removals)
        if emptied:
            transaction.set_properties(emptied)
        added = self._describe(table.io, transaction.table_metadata, filled)
        removed = [file for day in replaced for file in files.get(day, ())]
        if added or removed:
            # Never an append: that checks no conflicts, and two writers could both add the same day.
            snapshot = transaction.update_snapshot(snapshot_properties={"hrrr-dask.version": __version__}).overwrite()
            snapshot.delete_by_predicate(_rows_of(replaced))  # only what conflicts are looked for in
            for file in removed:
                snapshot.delete_data_file(file)
            for file in added:
                snapshot.append_data_file(file)
            snapshot.commit()
        transaction.commit_transaction()

    def _add_columns(self, transaction: Any) -> None:
        """Add the columns that the table does not have, in the same transaction."""
        import pyarrow as pa  # noqa: PLC0415

        known = set(transaction.table_metadata.schema().column_names)
        if missing := [field for field in self._schema if field.name not in known]:
            with transaction.update_schema() as update:
                update.union_by_name(pa.schema(missing))

    def _describe(self, io: Any, metadata: Any, files: Sequence[DayFile]) -> list[Any]:
        """Read from the footers what the manifest says of the files."""
        from pyiceberg.io.pyarrow import parquet_file_to_data_file  # noqa: PLC0415

        def describe(file: DayFile) -> Any:
            return parquet_file_to_data_file(io, metadata, unquoted_url(file.url))

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                described = list(pool.map(describe, files))
        except ValueError as error:
            raise StoreMismatchError(
                f"the columns of the files do not fit the table {self._table} in {self._warehouse}: export into "
                f"another table ({str(error).partition(chr(10))[0]})"
            ) from error
        for file, found in zip(files, described, strict=True):
            if (found_day := _day_of(found)) != file.day:
                raise ValueError(f"{file.url} has rows of {found_day}, not of {file.day}")
        return described

    def _load(self, catalog: Any) -> Any:
        """Return the table, if it is there and ours."""
        from pyiceberg.exceptions import (  # noqa: PLC0415
            NoSuchIcebergTableError,
            NoSuchNamespaceError,
            NoSuchTableError,
        )

        where = f"the table {self._table} in {self._warehouse}"
        try:
            table = catalog.load_table(self._names)
        except NoSuchIcebergTableError as error:
            raise StoreMismatchError(f"{where} is not a table of Iceberg: give another name by --table") from error
        except (NoSuchTableError, NoSuchNamespaceError):
            return None
        stated = {
            key.removeprefix(_ORIGIN): value for key, value in table.properties.items() if key.startswith(_ORIGIN)
        }
        if not stated:
            raise StoreMismatchError(f"{where} was not made by an export: give another name by --table")
        if difference := describe_difference(stated, self._origin):
            raise StoreMismatchError(f"{where} is of another export ({difference}): give another name by --table")
        if set(table.specs()) != {table.spec().spec_id} or str(table.spec().fields[0].transform) != "day":
            raise StoreMismatchError(
                f"{where} has other partitions than days of {_PARTITIONED_BY}, which another program changed: give "
                "another name by --table"
            )
        return table

    def _create(self, catalog: Any) -> Any:
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError  # noqa: PLC0415
        from pyiceberg.partitioning import PartitionField, PartitionSpec  # noqa: PLC0415
        from pyiceberg.table.sorting import SortField, SortOrder  # noqa: PLC0415
        from pyiceberg.transforms import DayTransform, IdentityTransform  # noqa: PLC0415
        from sqlalchemy.exc import IntegrityError  # noqa: PLC0415

        try:
            for depth in range(1, len(self._names)):
                catalog.create_namespace_if_not_exists(self._names[:depth])
        except IntegrityError as error:  # between the question whether it exists and the answer
            raise CommitFailedException("the namespace was made just now") from error
        schema = numbered(self._schema)
        ids = {field.name: field.field_id for field in schema.fields}
        day = PartitionField(ids[_PARTITIONED_BY], 1000, DayTransform(), f"{_PARTITIONED_BY}_day")
        order = [SortField(ids[name], IdentityTransform()) for name in _SORTED_BY if name in ids]
        try:
            return catalog.create_table(
                self._names,
                schema,
                location=self._location,
                partition_spec=PartitionSpec(day),
                sort_order=SortOrder(*order),
                properties={_ORIGIN + key: value for key, value in self._origin.items()}
                | {
                    "comment": "Forecasts of NOAA's HRRR at points",
                    "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
                    # Of the table's description, not of snapshots: a commit an hour makes thousands a year.
                    "write.metadata.delete-after-commit.enabled": "true",
                },
            )
        except TableAlreadyExistsError as error:
            raise CommitFailedException("the table was made just now") from error

    def _explained(self, doing: str) -> Any:
        return explained(doing, f"the table {self._table} in {self._warehouse}")


def _files_of_days(table: Any) -> dict[date, list[Any]]:
    """Return the files of the current snapshot by day."""
    from pyiceberg.manifest import ManifestContent  # noqa: PLC0415

    files: dict[date, list[Any]] = defaultdict(list)
    if snapshot := table.current_snapshot():
        manifests = [each for each in snapshot.manifests(table.io) if each.content == ManifestContent.DATA]
        with ThreadPoolExecutor(THREADS) as pool:
            for entries in pool.map(lambda manifest: manifest.fetch_manifest_entry(table.io), manifests):
                for entry in entries:
                    files[_day_of(entry.data_file)].append(entry.data_file)
    return files


def _fingerprints(table: Any, files: Mapping[date, Sequence[Any]]) -> dict[date, str]:
    empty = {
        date.fromisoformat(key.removeprefix(_EMPTY_DAY)): value
        for key, value in table.properties.items()
        if key.startswith(_EMPTY_DAY)
    }
    return empty | {day: _fingerprint_in(found[0].file_path) if len(found) == 1 else "" for day, found in files.items()}


def _fingerprint_in(url: str) -> str:
    """Return what stands between the last hyphen and the dot of a file's name."""
    return PurePosixPath(url).stem.rpartition("-")[2]


def _day_of(file: Any) -> date:
    day = file.partition[0]
    return day if isinstance(day, date) else _EPOCH + timedelta(days=day)


def _rows_of(days: Collection[date]) -> Any:
    """Return the condition that a row is of one of the days."""
    from pyiceberg.expressions import AlwaysFalse, And, GreaterThanOrEqual, LessThan, Or  # noqa: PLC0415

    def midnight(day: date) -> str:
        return datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()

    condition: Any = AlwaysFalse()
    for day in sorted(days):
        since = GreaterThanOrEqual(_PARTITIONED_BY, midnight(day))
        condition = Or(condition, And(since, LessThan(_PARTITIONED_BY, midnight(day + timedelta(days=1)))))
    return condition
