"""DuckDB file with a table ``forecasts`` and a view ``hrrr_forecasts``; each commit is one transaction.

The file is open only while it is read or written, as DuckDB lets no other process in meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hrrr_dask.errors import ConfigError, StoreAccessError, StoreError, StoreMismatchError
from hrrr_dask.objects.locations import local_path, normal_url
from hrrr_dask.tables.targets import DayFile, describe_difference

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DuckdbTarget", "load_duckdb"]

TABLE: Final = "forecasts"
VIEW: Final = "hrrr_forecasts"
_DAYS: Final = "hrrr_export_days"
_ORIGIN: Final = "hrrr_export_origin"

LOCK_WAIT_S: Final = 30.0
"""Time to wait for other processes that have the file open, before a commit fails [s]."""

_LOCK_PAUSE_S: Final = 0.2

ABANDONED_AFTER: Final = timedelta(days=1)
"""Age of a file of a worker from which it is from an export that was killed."""

_TYPES: Final = {"timestamp[us, tz=UTC]": "TIMESTAMPTZ", "double": "DOUBLE", "float": "FLOAT", "string": "VARCHAR"}
_FIXED: Final = ("init_time", "lead_time_h", "valid_time", "point_id", "latitude", "longitude", "source", "gap")


def load_duckdb() -> Any:
    """Import DuckDB.

    Raises
    ------
    ConfigError
        If it is not installed; says how to install it.
    """
    try:
        import duckdb  # noqa: PLC0415  optional
    except ImportError as error:
        raise ConfigError(f"a DuckDB file needs duckdb ({error}): pip install 'hrrr-dask[tables]'") from error
    return duckdb


class DuckdbTarget:
    """DuckDB file on a disk that the workers reach, too.

    Parameters
    ----------
    to : str
        Path of the file, which is made if it does not exist. Other tables in it are left alone.
    schema : pyarrow.Schema
        Columns of the files that will be committed.
    origin : mapping of str to str
        What is the same for all days: the store, the layout.

    Raises
    ------
    ConfigError
        If DuckDB is not installed, or the file is not on a disk.
    StoreMismatchError
        If something else is there, or an export of another store or layout.
    StoreAccessError
        If another process holds the file open, or it cannot be written.
    """

    def __init__(self, to: str, *, schema: pa.Schema, origin: Mapping[str, str]) -> None:
        self._duckdb = load_duckdb()
        self._schema, self._origin = schema, dict(origin)
        self._path = _local_file(to)
        self._staging = self._path.with_name(f"{self._path.name}.files")
        self._remove_leftovers()
        self._held: dict[date, str] = {}
        if self._path.exists():
            with self._open(read_only=True) as db:
                self._held = self._read(db)

    @property
    def files_url(self) -> str:
        """Directory under which workers write new files, beside the DuckDB file."""
        return str(self._staging)

    def read_fingerprints(self) -> dict[date, str]:
        """Return the fingerprints of the days in the table."""
        return dict(self._held)

    def commit(self, new: Sequence[DayFile], gone: Collection[date]) -> None:
        """Replace the days of ``new`` and drop the days of ``gone`` in one transaction.

        Raises
        ------
        StoreAccessError
            If another process holds the file open for too long, or a worker's file is not here.
        StoreError
            If the transaction fails; nothing has changed then.
        """
        paths = [Path(file.url) for file in new if file.url]
        for path in paths:
            if not path.exists():
                raise StoreAccessError(
                    f"{path} was written by a worker and is not on this machine: a DuckDB file needs workers with the "
                    "same disk. Export Parquet to a bucket, and load that"
                )
        with self._open() as db:
            db.begin()
            self._held = self._read(db)
            replaced = [day for day in (*(file.day for file in new), *gone) if day in self._held]
            self._define(db)
            for day in replaced:
                db.execute(f"DELETE FROM {TABLE} WHERE init_time >= ? AND init_time < ?", _bounds(day))  # noqa: S608
                db.execute(f"DELETE FROM {_DAYS} WHERE init_date = ?", [day])  # noqa: S608
            if paths:
                files = [str(path) for path in paths]
                db.execute(f"INSERT INTO {TABLE} BY NAME SELECT * FROM read_parquet(?)", [files])  # noqa: S608
            for file in new:
                db.execute(f"INSERT INTO {_DAYS} VALUES (?, ?, ?)", [file.day, file.fingerprint, file.rows])  # noqa: S608
            db.commit()
        fingerprints = {file.day: file.fingerprint for file in new}
        self._held = {day: known for day, known in self._held.items() if day not in replaced} | fingerprints
        for path in paths:
            path.unlink(missing_ok=True)
        with suppress(OSError):  # others are still being written
            self._staging.rmdir()

    @contextmanager
    def _open(self, *, read_only: bool = False) -> Iterator[Any]:
        """Open the file, once no other process has it open for writing, or for reading if it is to be written."""
        db = self._connect(read_only=read_only)
        try:
            yield db
        except self._duckdb.Error as error:
            raise StoreError(
                f"the DuckDB file {self._path} cannot be {'read' if read_only else 'written'}: {_first_line(error)}. "
                "It is as before this commit; correct the cause and run the same command again"
            ) from error
        finally:
            with suppress(self._duckdb.Error):
                db.close()

    def _connect(self, *, read_only: bool) -> Any:
        deadline = time.monotonic() + LOCK_WAIT_S
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                return self._duckdb.connect(str(self._path), read_only=read_only)
            except self._duckdb.Error as error:
                held = "lock" in str(error).lower() or "different configuration" in str(error)
                if held and time.monotonic() < deadline:
                    time.sleep(_LOCK_PAUSE_S)
                    continue
                if held:
                    raise StoreAccessError(
                        f"another program has {self._path} open for longer than {LOCK_WAIT_S:g} s, and DuckDB lets one "
                        f"in at a time: close it, and run the same command again ({_first_line(error)})"
                    ) from error
                raise StoreMismatchError(
                    f"{self._path} cannot be opened as a DuckDB file: {_first_line(error)}. Choose another --to"
                ) from error

    def _read(self, db: Any) -> dict[date, str]:
        """Return the fingerprints of the days, and refuse tables of others."""
        there = {name for (name,) in db.execute("SELECT table_name FROM information_schema.tables").fetchall()}
        if _ORIGIN not in there:
            if taken := sorted({TABLE, VIEW} & there):
                raise StoreMismatchError(f"{self._path} has a table {taken[0]} of its own: choose another --to")
            return {}
        origin = dict(db.execute(f"SELECT key, value FROM {_ORIGIN}").fetchall())  # noqa: S608
        if difference := describe_difference(origin, self._origin):
            raise StoreMismatchError(f"{self._path} has another export ({difference}): choose another --to")
        return dict(db.execute(f"SELECT init_date, fingerprint FROM {_DAYS}").fetchall())  # noqa: S608

    def _define(self, db: Any) -> None:
        """Make the tables and the view, or add the columns that are missing."""
        columns = {field.name: _TYPES[str(field.type)] for field in self._schema}
        db.execute(
            f"CREATE TABLE IF NOT EXISTS {TABLE} ({', '.join(f'{_quoted(n)} {kind}' for n, kind in columns.items())})"
        )
        db.execute(f"CREATE TABLE IF NOT EXISTS {_DAYS} (init_date DATE, fingerprint VARCHAR, rows BIGINT)")
        known = [row[0] for row in db.execute(f"DESCRIBE {TABLE}").fetchall()]
        missing = [name for name in columns if name not in known]
        for name in missing:
            db.execute(f"ALTER TABLE {TABLE} ADD COLUMN {_quoted(name)} {columns[name]}")
        found = db.execute(f"SELECT 1 FROM information_schema.tables WHERE table_name = '{_ORIGIN}'").fetchall()  # noqa: S608
        if not found:
            db.execute(f"CREATE TABLE {_ORIGIN} (key VARCHAR, value VARCHAR)")
            db.executemany(f"INSERT INTO {_ORIGIN} VALUES (?, ?)", list(self._origin.items()))  # noqa: S608
        if missing or not found:
            db.execute(_view([*known, *missing]))

    def _remove_leftovers(self) -> None:
        oldest = (datetime.now(UTC) - ABANDONED_AFTER).timestamp()
        for path in self._staging.glob("*"):
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


def _local_file(to: str) -> Path:
    path = local_path(normal_url(to))
    if path is None:
        raise ConfigError(
            f"{to} is not on a disk, and DuckDB writes a file in place, which buckets cannot: write it to a disk and "
            "copy it when it is done, or export --format parquet, which DuckDB reads from the bucket"
        )
    if path.is_dir():
        raise StoreMismatchError(f"{path} is a directory: give the path of a file, such as {path}/hrrr.duckdb")
    return path


def _view(columns: Sequence[str]) -> str:
    """Return the definition of the view: its times are in UTC and have no time zone."""
    rows = f"SELECT * FROM {TABLE}"  # noqa: S608
    if "variable" not in columns:
        variables = ", ".join(_quoted(name) for name in columns if name not in _FIXED)
        rows = f"UNPIVOT {TABLE} ON {variables} INTO NAME variable VALUE value"
    return f"""
        CREATE OR REPLACE VIEW {VIEW} AS
        SELECT valid_time AT TIME ZONE 'UTC' AS valid_time_utc, init_time AT TIME ZONE 'UTC' AS run_time_utc,
               latitude, longitude, variable, value, source AS source_s3
        FROM ({rows}) WHERE value IS NOT NULL
    """  # noqa: S608


def _bounds(day: date) -> list[datetime]:
    first = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return [first, first + timedelta(days=1)]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
