"""The Zarr store for writers: made once from its template, grown by metadata, written in whole shards.

Only this module, :mod:`hrrr_dask.store.published` and the ledger write to a store. Writers need no lock and no clock,
because of one rule: **nothing that was written is removed.** A shard is replaced only by one that has all its values
and more, and only if it is unchanged since the writer read it (a conditional PUT). Steps of growth and ledger entries
are new objects. A value that no entry calls complete may or may not be in a shard; a value that an entry calls
complete stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Final, TypeVar

from hrrr_dask.errors import StoreConflictError, StoreError
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import COLUMNS, ValueStates, reduce_rows
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.planning.memory import MERGE_COPIES
from hrrr_dask.store.concurrency import MERGE_MEMORY, SHARDS_AT_ONCE, run_together
from hrrr_dask.store.conditional_writes import AT_ONCE, TRIES, pause, put_if_unchanged, update_shard
from hrrr_dask.store.existing import Existing, find_store, later_steps, load_spec, step_key
from hrrr_dask.store.merge import Piece, merge_pieces
from hrrr_dask.store.settings_attribute import settings_in
from hrrr_dask.store.spec import Growth, StoreSpec, apply_growth, encode_step, first_step
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.store.user_attributes import keep_user_attributes

__all__ = ["Store", "count", "partitions_of", "read_states"]

_Answer = TypeVar("_Answer")


class Store:
    """A store to write to. Nothing is read or written before a method is called.

    Parameters
    ----------
    url : str
        Directory, or a URL such as ``s3://bucket/prefix``.
    options : mapping of str to str
        Options of the endpoint, without secrets.
    spec : StoreSpec
        Specification; without cohorts for a store that is not made yet.
    """

    def __init__(self, url: str, options: Mapping[str, str], spec: StoreSpec) -> None:
        self.url = url
        self.options = dict(options)
        self.spec = spec

    @cached_property
    def blobs(self) -> Blobs:
        """Objects of the store."""
        return open_blobs(self.url, self.options, create=True)

    @property
    def ledger(self) -> Ledger:
        """Ledger of the store."""
        return Ledger(self.blobs)

    @property
    def is_open(self) -> bool:
        """Whether readers can open it: false before it is made, or if its creation was killed."""
        return bool(self.spec.cohorts) and find_store(self.blobs) is not None

    def make_or_grow(self, growth: Growth) -> Store:
        """Make the store, or grow it, so that it has at least what is requested.

        Returns
        -------
        Store
            With its new specification.
        """
        if not self.spec.cohorts:
            self._make()
        return self.grow(growth)

    def _make(self) -> None:
        """Write the first step, which makes the store; its documents are derived from it."""
        step = encode_step(first_step(self.spec))
        self.blobs.prepare()
        try:
            self.blobs.put_new(step_key(0), step)
        except StoreConflictError:
            raise StoreConflictError(
                f"another command has just made another store at {self.url}: check it, then run the command again"
            ) from None
        self.blobs.put(".hrrr/README", _README.encode())

    def grow(self, growth: Growth) -> Store:
        """Add days, variables or points: write a step of growth, then the derived documents, the root last.

        Returns
        -------
        Store
            With the grown specification.

        Raises
        ------
        PointsError, ConfigError
            If the store has a point at other coordinates, or a variable with another selector, even if added just now.
        StoreMismatchError
            If the store was replaced by another one.
        StoreConflictError
            If other writers caused too many conflicts.
        """
        for _ in range(TRIES):
            self.blobs.refresh()
            spec = self._current()
            growth.check(spec, self.url)
            if step := growth.step_from(spec):
                number = spec.growth + 1
                try:
                    self.blobs.put_new(step_key(number), encode_step(step))
                except StoreConflictError:
                    pause()
                    continue
                spec = apply_growth(spec, step, number)
            if self._update_documents(spec):
                return Store(self.url, self.options, spec)
        raise StoreConflictError(f"{self.url} is being grown by too many other commands: run the command again")

    def _current(self) -> StoreSpec:
        spec = load_spec(self.blobs)
        if spec is None:
            raise StoreError(f"{self.url} was removed while it was in use")
        existing = find_store(self.blobs)
        if existing is not None and self.spec.cohorts:
            existing.check_writer(self.spec, ahead=True)
        return spec

    def _update_documents(self, spec: StoreSpec) -> bool:
        """Update documents and coordinates to a step of growth, the root last; returns False after a conflict.

        Each object is replaced only if it is unchanged since before the steps were listed without a later one. So no
        document of an earlier step ever replaces one of a later step. Attributes that users added are kept.
        """
        root = self.blobs.get_with_etag(ROOT_KEY)
        if root is not None and settings_in(json.loads(root[0]))["growth"] == spec.growth:
            return True
        template = build_template(spec)
        keys = [key for key in template if key != ROOT_KEY]
        one_by_one = self.blobs.transactional  # a chunk is written after the document that makes room for it
        with ThreadPoolExecutor(1 if one_by_one else AT_ONCE) as pool:
            before = dict(zip(keys, pool.map(self.blobs.get_with_etag, keys), strict=True))
            if later_steps(self.blobs, spec.growth):
                return False
            there = {key: found[0] for key, found in (before | {ROOT_KEY: root}).items() if found is not None}
            documents = keep_user_attributes(template, there)
            changed = [key for key in keys if there.get(key) != documents[key]]
            try:
                list(pool.map(lambda key: put_if_unchanged(self.blobs, key, documents[key], before[key]), changed))
                put_if_unchanged(self.blobs, ROOT_KEY, documents[ROOT_KEY], root)
                self.blobs.seal(_growth_message(spec))
            except StoreConflictError:
                pause()
                return False
        return True

    def transact(self, work: Callable[[], tuple[_Answer, str]]) -> _Answer:
        """Write and seal; repeat both on the new state after a conflict.

        Parameters
        ----------
        work : callable
            Writes, and returns a result and the message of the commit. In a plain store each write is visible at once.

        Raises
        ------
        StoreConflictError
            If other writers caused too many conflicts.
        """
        for _ in range(TRIES):
            self.blobs.refresh()
            answer, message = work()
            try:
                self.blobs.seal(message)
            except StoreConflictError:
                pause()
                continue
            return answer
        raise StoreConflictError(f"{self.url} is being committed to by too many other commands: run the command again")

    def merge(self, partition: int, pieces: Mapping[str, list[Piece]]) -> tuple[int, set[tuple[str, int]]]:
        """Merge values into the shards of a partition, several concurrently; the caller commits with a ledger entry.

        A shard that gets no new value is read and not written.

        Parameters
        ----------
        partition : int
            Number of the partition.
        pieces : mapping of str to list of Piece
            Pieces of each requested variable; a piece without values is a gap.

        Returns
        -------
        bytes_written : int
            Bytes written to the store [B].
        already : set of (str, int)
            Gaps whose values are already in the store, as variable and position in its list: an earlier attempt wrote
            them and was killed before its commit.

        Raises
        ------
        StoreMismatchError
            If the store was replaced by another one.
        StoreError
            If a shard cannot be read or written. Other shards may be written; none is being written any more.
        """
        existing = self.existing()
        existing.check_writer(self.spec)
        size = self.spec.layout.shard_points
        shards = [
            (name, block)
            for name, own in pieces.items()
            for block in range(min(piece.first_point for piece in own) // size, -(-len(self.spec.points) // size))
        ]

        def merge_shard(shard: tuple[str, int]) -> tuple[int, list[bool]]:
            name, block = shard
            change = partial(merge_pieces, pieces=pieces[name], first_point=block * size)
            with MERGE_MEMORY.reserve(MERGE_COPIES * self.spec.layout.shard_bytes(self.spec.selection)):
                key = f"{name}/c/{partition}/0/{block}"
                return update_shard(self.blobs, key, existing.documents[name], change)

        # In a transaction, a request takes no time, and the session is not made for several threads.
        found = run_together(merge_shard, shards, 1 if self.blobs.transactional else SHARDS_AT_ONCE)
        there = {name: [not piece.complete for piece in own] for name, own in pieces.items()}
        for (name, _), (_, whole) in zip(shards, found, strict=True):
            there[name] = [a and b for a, b in zip(there[name], whole, strict=True)]
        already = {(name, k) for name, own in there.items() for k, whole in enumerate(own) if whole}
        return sum(n_bytes for n_bytes, _ in found), already

    def value_states(self, inits: slice) -> ValueStates:
        """Return the state of the values of a range of init times."""
        return read_states(self.ledger, self.spec, inits)

    def existing(self) -> Existing:
        """Return the store as readers see it.

        Raises
        ------
        StoreError
            If the store was removed.
        """
        existing = find_store(self.blobs)
        if existing is None:
            raise StoreError(f"{self.url} lost its root document while it was in use")
        return existing


def read_states(ledger: Ledger, spec: StoreSpec | Existing, inits: slice) -> ValueStates:
    """Return the state of the values of a range of init times, from the ledger alone."""
    return reduce_rows(
        ledger.tables(partitions_of(spec, inits), COLUMNS), spec.selection, spec.axis, inits, spec.cohort_sizes
    )


def partitions_of(spec: StoreSpec | Existing, inits: slice) -> range:
    """Return the partitions that contain a range of init times."""
    span = spec.layout.partition_days * len(spec.axis.cycles)
    return range(inits.start // span, -(-inits.stop // span))


def count(number: int, what: str) -> str:
    """Format a number with its noun.

    Examples
    --------
    >>> count(1, "day"), count(5016, "value")
    ('1 day', '5,016 values')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _growth_message(spec: StoreSpec) -> str:
    counts = (
        count(spec.n_days - spec.asked_from, "day"),
        count(len(spec.selection.variables), "variable"),
        count(len(spec.points), "point"),
    )
    return f"{'grown to' if spec.growth else 'made:'} {', '.join(counts)}"


_README: Final = """\
hrrr_dask keeps its ledger here: one Parquet file per partition and attempt, below ledger/.
Read it with hrrr_dask.ledger.to_dataframe(url), DuckDB or pyarrow. Zarr readers do not need it.
"""
