"""Objects of a store whose arrays are in an Icechunk repository, with atomic commits and a history.

The repository is at the store's URL, its branch is ``main``. Keys below ``.hrrr/`` (steps of growth, the ledger) are
plain objects beside it, which Icechunk ignores. Metadata documents and shards have the same keys and bytes as in a
plain store. Writes go into a session, and :meth:`IcechunkBlobs.seal` commits it. Commits of other writers conflict
only if they changed the same objects.

Icechunk is an optional dependency. Its log messages below errors are switched off, unless ``ICECHUNK_LOG`` is set: they
warn of conflicts, which are expected here, and of simultaneous commits to a directory, which a file lock prevents here.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from hrrr_dask.errors import ConfigError, StoreAccessError, StoreConflictError, StoreMismatchError
from hrrr_dask.objects.backends import resolve_s3
from hrrr_dask.objects.forks import note_use, refuse_if_lost
from hrrr_dask.objects.locations import ICECHUNK, local_path, normal_url
from hrrr_dask.objects.objects import Blobs, explain_error

if TYPE_CHECKING:
    from icechunk import Repository, Session, Storage
    from zarr.abc.store import Store

__all__ = ["IcechunkBlobs", "Snapshot", "load_icechunk"]

BRANCH: Final = "main"

REBASES: Final = 100
"""Maximum number of times that a commit is rebased on commits that changed other objects."""

PLAIN_PREFIX: Final = ".hrrr/"
"""Prefix of keys that are plain objects."""

_ICECHUNKS_OWN: Final = {"chunks", "config.yaml", "manifests", "refs", "repo", "snapshots", "transactions"}
"""Names at the top of an Icechunk repository."""


class IcechunkBlobs(Blobs):
    """Objects by key: plain objects below ``.hrrr/``, all others in a session of an Icechunk repository.

    A session is isolated from other writers, so its writes need no condition; conflicts are found when it is sealed.

    Parameters
    ----------
    url : str
        ``icechunk+s3://bucket/prefix``, ``icechunk+file:///path`` or ``icechunk+/path``.
    options : mapping of str to str
        Endpoint options without secrets; credentials come from the environment, as the AWS SDK finds them.
    create : bool
        Make the directory if it does not exist.
    snapshot : str
        Identifier of an earlier state to read.

    Raises
    ------
    ConfigError
        If Icechunk is not installed.
    StoreAccessError
        If there are no credentials, the URL cannot be reached, or Icechunk was used before this process was forked.
    """

    transactional: ClassVar[bool] = True

    def __init__(self, url: str, options: Mapping[str, str], *, create: bool = False, snapshot: str = "") -> None:
        self._icechunk = load_icechunk()
        super().__init__(url, options, create=create)
        self._options, self._snapshot = dict(options), snapshot
        self._repository: Repository | None = None
        self._opened: Session | None = None
        self._opening = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """Return the object's bytes, or None if it does not exist."""
        if key.startswith(PLAIN_PREFIX):
            return super().get(key)
        session = self._session()
        if session is None:
            return None
        with self._explained(f"read {key} of"):
            return _read(session.store, key, self._icechunk.IcechunkError)

    def get_with_etag(self, key: str) -> tuple[bytes, str] | None:
        """Return the object's bytes and an entity tag, which :meth:`replace` uses only below ``.hrrr/``."""
        if key.startswith(PLAIN_PREFIX):
            return super().get_with_etag(key)
        data = self.get(key)
        return None if data is None else (data, "")

    def put(self, key: str, data: bytes) -> None:
        """Write the whole object, replacing any existing one."""
        if key.startswith(PLAIN_PREFIX):
            super().put(key, data)
            return
        session = self._session()
        if session is None:
            self.prepare()
            session = self._session()
        assert session is not None, "a repository that was made is there"
        with self._explained(f"write {key} to"):
            _write(session.store, key, data)

    def put_new(self, key: str, data: bytes) -> None:
        """Write the object; below ``.hrrr/`` only if it does not exist."""
        if key.startswith(PLAIN_PREFIX):
            super().put_new(key, data)
        else:
            self.put(key, data)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Write the object; below ``.hrrr/`` only if it still has that entity tag."""
        if key.startswith(PLAIN_PREFIX):
            super().replace(key, data, etag)
        else:
            self.put(key, data)

    def delete(self, keys: list[str]) -> None:
        """Delete objects below ``.hrrr/``; objects of arrays are never deleted."""
        assert all(key.startswith(PLAIN_PREFIX) for key in keys), "nothing that was written is taken away"
        super().delete(keys)

    def keys(self, prefix: str, *, after: str = "") -> list[str]:
        """List all keys below a prefix, which must be below ``.hrrr``."""
        assert f"{prefix}/".startswith(PLAIN_PREFIX), "only objects beside the repository are listed"
        return super().keys(prefix, after=after)

    def top_level(self) -> set[str]:
        """Return names directly below the URL that are not Icechunk's own; ``.hrrr`` only if there is no other."""
        names = super().top_level()
        if self._session() is not None:
            names -= _ICECHUNKS_OWN
        return names - {".hrrr"} or names

    def prepare(self) -> None:
        """Make the repository if it does not exist; its location must be empty.

        Raises
        ------
        StoreAccessError
            If the repository cannot be made.
        """
        self._check_usable()
        storage = self._storage()
        with self._opening, self._explained("make an Icechunk repository at"):
            if self._find() is not None:
                return
            try:
                self._repository = self._icechunk.Repository.create(storage)
            except self._icechunk.IcechunkError:
                if self._find() is None:  # unless another command has just made it
                    raise

    def refresh(self) -> None:
        """Start a new session on the latest commit; writes that were not sealed are dropped."""
        with self._opening:
            self._opened = None

    def seal(self, message: str) -> str:
        """Commit all writes of the session, if anything has changed.

        Parameters
        ----------
        message : str
            Message of the commit.

        Returns
        -------
        str
            Identifier of the snapshot; empty if nothing has changed.

        Raises
        ------
        StoreConflictError
            If another commit changed some of the same objects; the writes are dropped.
        """
        self._check_usable()
        session = self._opened
        if session is None or not session.has_uncommitted_changes:
            return ""
        try:
            with self._explained("commit to"), self._one_at_a_time():
                return session.commit(message, rebase_with=self._icechunk.ConflictDetector(), rebase_tries=REBASES)
        finally:
            self.refresh()

    def reading(self) -> Store:
        """Return the Zarr store of this state, independent of later commits.

        Raises
        ------
        StoreMismatchError
            If there is no repository.
        """
        session = self._session()
        if session is None or self._repository is None:
            raise StoreMismatchError(f"{self.url} holds no Icechunk repository: check the URL")
        with self._explained("open"):
            return self._repository.readonly_session(snapshot_id=session.snapshot_id).store

    def history(self) -> list[Snapshot]:
        """Return the snapshots of the branch, the latest first."""
        if self._session() is None or self._repository is None:
            return []
        with self._explained("read the history of"):
            found = self._repository.ancestry(branch=BRANCH)
            return [Snapshot(each.id, each.written_at, each.message) for each in found]

    def _session(self) -> Session | None:
        """Return the open session; None if there is no repository."""
        self._check_usable()
        with self._opening:
            if self._opened is None:
                with self._explained("open"):
                    repository = self._find()
                    if repository is None:
                        return None
                    self._opened = self._start(repository)
            return self._opened

    def _check_usable(self) -> None:
        refuse_if_lost("icechunk", f"use the repository {self.url}")
        note_use("icechunk")

    def _start(self, repository: Repository) -> Session:
        if not self._snapshot:
            return repository.writable_session(BRANCH)
        if all(each.id != self._snapshot for each in repository.ancestry(branch=BRANCH)):
            raise StoreMismatchError(
                f"{self.url} has no snapshot {self._snapshot!r}: "
                f"hrrr_dask.objects.transactions.history lists those that it has"
            )
        return repository.readonly_session(snapshot_id=self._snapshot)

    def _find(self) -> Repository | None:
        if self._repository is None:
            storage = self._storage()
            if self._icechunk.Repository.exists(storage):
                self._repository = self._icechunk.Repository.open(storage)
        return self._repository

    def _storage(self) -> Storage:
        directory = local_path(normal_url(self.url))
        if directory is not None:
            local: Storage = self._icechunk.local_filesystem_storage(str(directory))
            return local
        place = resolve_s3(self.url, self._options)
        bucket: Storage = self._icechunk.s3_storage(
            bucket=place.bucket,
            prefix=place.prefix or None,
            region=place.region,
            endpoint_url=place.endpoint or None,
            allow_http=place.allow_http,
            anonymous=place.anonymous or None,
            from_env=None if place.anonymous else True,
            force_path_style=place.path_style,
        )
        return bucket

    def _one_at_a_time(self) -> Any:
        """Lock a directory: Icechunk does not detect simultaneous commits there, as it does on S3."""
        return nullcontext() if local_path(normal_url(self.url)) is None else self._locked("commit")

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            with super()._explained(doing):
                yield
        except (self._icechunk.ConflictError, self._icechunk.RebaseFailedError) as error:
            raise StoreConflictError(
                f"cannot {doing} {self.url}: another commit came first; run the command again"
            ) from error
        except self._icechunk.IcechunkError as error:
            raise StoreAccessError(
                f"cannot {doing} {self.url}: {explain_error(str(error))}{_reason(str(error))}"
            ) from error


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A committed state of an Icechunk repository."""

    snapshot: str
    """Identifier, for ``open_dataset(url, snapshot=…)``."""
    written_at: datetime
    """Time of the commit, UTC."""
    message: str
    """Message of the commit."""


def load_icechunk() -> Any:
    """Import Icechunk.

    Raises
    ------
    ConfigError
        If it is not installed; says how to install it.
    """
    try:
        import icechunk  # noqa: PLC0415  optional
    except ImportError as error:
        raise ConfigError(
            f"a store at {ICECHUNK}… needs Icechunk, here and on every worker ({error}): "
            "pip install 'hrrr-dask[icechunk]'"
        ) from error
    if "ICECHUNK_LOG" not in os.environ:
        icechunk.set_logs_filter("error")
    return icechunk


def _read(store: Store, key: str, refused: type[Exception]) -> bytes | None:
    # Zarr takes a third of a second to import, and plain stores are written without it.
    from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415
    from zarr.core.sync import sync  # noqa: PLC0415

    try:
        found = sync(store.get(key, default_buffer_prototype()))
    except refused:
        array, is_chunk, _ = key.partition("/c/")
        if not is_chunk or sync(store.exists(f"{array}/zarr.json")):
            raise
        return None  # Icechunk raises an error for a chunk of an array that does not exist yet
    return None if found is None else found.to_bytes()


def _write(store: Store, key: str, data: bytes) -> None:
    from zarr.core.buffer.cpu import Buffer  # noqa: PLC0415
    from zarr.core.sync import sync  # noqa: PLC0415

    sync(store.set(key, Buffer.from_bytes(data)))


def _reason(text: str) -> str:
    """Return the innermost cause that Icechunk lists, as one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" |")]
    causes = [line.partition("->")[2].strip() for line in lines if line.startswith(("`->", "|->"))]
    return (causes or [lines[0].removeprefix("x ")] if lines else ["no reason given"])[-1]
