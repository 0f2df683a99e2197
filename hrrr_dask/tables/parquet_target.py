"""Directory of Parquet files, one for each day, and a manifest that names those that count.

A reader of the manifest sees the table of before a commit or of after it. New files come under ``_staging/``, where
readers of Hive partitions do not look. A commit moves them to ``init_date=YYYY-MM-DD/``, replaces the manifest in one
step, and removes the files that it replaced.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from hrrr_dask.errors import StoreConflictError, StoreMismatchError
from hrrr_dask.objects.locations import NO_OPTIONS
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.store.conditional_writes import put_if_unchanged
from hrrr_dask.tables.targets import DayFile, describe_difference

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["MANIFEST", "ParquetTarget"]

MANIFEST: Final = "_manifest.json"
"""Key of the manifest. Names with an underscore at the start are not read by Spark, pyarrow, Hive and Athena."""

MANIFEST_VERSION: Final = 1

STAGING: Final = "_staging"

AT_ONCE: Final = 16
"""Files moved concurrently."""

ABANDONED_AFTER: Final = timedelta(days=1)
"""Age of a staged file from which it is from an export that was killed."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of the manifest."""

    init_date: str
    path: str
    """Below the directory; empty for a day without rows."""
    rows: int
    bytes: int
    fingerprint: str


class ParquetTarget:
    """Directory of Parquet files.

    Making it removes what a killed export left there.

    Parameters
    ----------
    url : str
        Directory, or a URL such as ``s3://bucket/prefix``.
    schema : pyarrow.Schema
        Columns of the files that will be committed.
    origin : mapping of str to str
        What is the same for all days: the store, the layout.
    options : mapping of str to str
        Options of the endpoint, without secrets.

    Raises
    ------
    StoreMismatchError
        If something else is there, or an export of another store or layout.
    """

    def __init__(
        self, url: str, *, schema: pa.Schema, origin: Mapping[str, str], options: Mapping[str, str] = NO_OPTIONS
    ) -> None:
        self._blobs = Blobs(url, options, create=True)
        self._origin = dict(origin)
        self._about = {
            "format": "hrrr-dask tables",
            "version": MANIFEST_VERSION,
            "origin": self._origin,
            "columns": [_describe_column(field) for field in schema],
        }
        self._generation, self._days = 0, dict[date, _Entry]()
        self._found = self._blobs.get_with_etag(MANIFEST)
        if self._found is None:
            self._refuse_other_files()
        else:
            self._load(self._found[0])
        self._remove_leftovers()

    @property
    def files_url(self) -> str:
        """Directory under which workers write new files."""
        return f"{self._blobs.url}/{STAGING}"

    def read_fingerprints(self) -> dict[date, str]:
        """Return the fingerprints of the days in the manifest."""
        return {day: entry.fingerprint for day, entry in self._days.items()}

    def commit(self, new: Sequence[DayFile], gone: Collection[date]) -> None:
        """Replace the days of ``new`` and drop the days of ``gone``.

        Raises
        ------
        StoreConflictError
            If another export committed meanwhile; the table is as that one left it.
        """
        gone = set(gone) & set(self._days)
        if not new and not gone:
            return
        entries = {file.day: _entry_of(file) for file in new}
        moves = [(_staged(file), entries[file.day].path) for file in new if file.url]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda move: self._blobs.move(*move), moves))
        days = {day: entry for day, entry in self._days.items() if day not in gone} | entries
        replaced = [entry.path for day, entry in self._days.items() if entry.path and days.get(day) != entry]
        try:
            self._write_manifest(days)
        except StoreConflictError:
            self._blobs.delete([path for _, path in moves])
            raise
        self._delete(replaced)

    def _write_manifest(self, days: Mapping[date, _Entry]) -> None:
        generation = self._generation + 1
        files = [asdict(days[day]) for day in sorted(days)]
        document = {**self._about, "generation": generation, "files": files}
        data = json.dumps(document, indent=1).encode()
        try:
            put_if_unchanged(self._blobs, MANIFEST, data, self._found)
            found = self._blobs.get_with_etag(MANIFEST)
        except StoreConflictError:
            found = None
        if found is None or found[0] != data:
            raise StoreConflictError(
                f"another export committed to {self._blobs.url} meanwhile: what it committed stays. Run one export at "
                "a time, and this one again"
            )
        self._found, self._generation, self._days = found, generation, dict(days)

    def _load(self, data: bytes) -> None:
        try:
            manifest: dict[str, Any] = json.loads(data)
            version, origin = manifest["version"], manifest["origin"]
            self._generation = int(manifest["generation"])
            self._days = {date.fromisoformat(file["init_date"]): _Entry(**file) for file in manifest["files"]}
        except (ValueError, KeyError, TypeError) as error:
            raise StoreMismatchError(
                f"{self._blobs.url}/{MANIFEST} cannot be read ({type(error).__name__}: {error}): bring it back from a "
                "copy, or choose another --to"
            ) from None
        if version != MANIFEST_VERSION:
            raise StoreMismatchError(
                f"{self._blobs.url} has tables of version {version}, this hrrr_dask writes {MANIFEST_VERSION}: choose "
                "another --to"
            )
        if difference := describe_difference(origin, self._origin):
            raise StoreMismatchError(f"{self._blobs.url} is of another export ({difference}): choose another --to")

    def _refuse_other_files(self) -> None:
        ours = (".hrrr", STAGING, "init_date=")
        if others := sorted(name for name in self._blobs.top_level() if not name.startswith(ours)):
            raise StoreMismatchError(
                f"{self._blobs.url} is not empty, and there is no export (it holds {', '.join(others[:5])}): choose "
                "another --to"
            )

    def _remove_leftovers(self) -> None:
        """Remove files that no manifest names.

        The manifest is written first: an export that is at work, whose files these may be, can then not commit them.
        """
        named = {entry.path for entry in self._days.values()}
        dates = self._blobs.dates("")
        stray = [key for key in dates if key.startswith("init_date=") and key not in named]
        if stray:
            self._write_manifest(self._days)
        oldest = datetime.now(UTC) - ABANDONED_AFTER
        self._delete([*stray, *(key for key, at in dates.items() if key.startswith(f"{STAGING}/") and at < oldest)])

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), 1000):
            self._blobs.delete(list(keys[start : start + 1000]))


def _staged(file: DayFile) -> str:
    return f"{STAGING}/{file.url.rpartition('/')[2]}"


def _entry_of(file: DayFile) -> _Entry:
    name = file.url.rpartition("/")[2]
    path = f"init_date={file.day:%Y-%m-%d}/{name}" if file.url else ""
    return _Entry(f"{file.day:%Y-%m-%d}", path, file.rows, file.bytes, file.fingerprint)


def _describe_column(field: pa.Field) -> dict[str, str]:
    units = (field.metadata or {}).get(b"units")
    return {"name": field.name, "type": str(field.type)} | ({} if units is None else {"units": units.decode()})
