"""The Zarr store: made once from its template, grown by metadata, added to in whole shards.

Only this module, :mod:`hrrr_dask.store.published` and the ledger write. The rule that keeps any number of writers
apart, without a lock and without a clock: **nothing that was written is taken away.** A shard is replaced only by one
that holds all it held and more, and only if it is still what the writer read (a conditional PUT); steps of growth and
ledger entries are new objects. What no entry calls complete may be there or not; what one calls complete is there to
stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import StoreConflictError, StoreError
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import COLUMNS, Folded, fold
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.store.conditional_writes import AT_ONCE, TRIES, change_shard, pause, put_over
from hrrr_dask.store.existing import Existing, find_store, later_steps, load_spec, step_key
from hrrr_dask.store.merge import Piece, lay
from hrrr_dask.store.spec import Growth, StoreSpec, encode_step, first_step, grown
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.store.user_attributes import with_strangers

__all__ = ["Store", "count", "fold_inits", "partitions_of"]

_Answer = TypeVar("_Answer")


class Store:
    """A store to write to. Nothing is read or written until a method is called.

    Parameters
    ----------
    url : str
        Directory, or ``s3://bucket/prefix`` and the like.
    options : mapping of str to str
        Its endpoint, without secrets.
    spec : StoreSpec
        What it is; without cohorts for a store that is to be made.
    """

    def __init__(self, url: str, options: Mapping[str, str], spec: StoreSpec) -> None:
        self.url = url
        self.options = dict(options)
        self.spec = spec

    @cached_property
    def blobs(self) -> Blobs:
        """Its objects."""
        return open_blobs(self.url, self.options, create=True)

    @property
    def ledger(self) -> Ledger:
        """What was done."""
        return Ledger(self.blobs)

    @property
    def is_open(self) -> bool:
        """Whether readers see it: false for one that is to be made, or whose making was killed."""
        return bool(self.spec.cohorts) and find_store(self.blobs) is not None

    def ready(self, growth: Growth) -> Store:
        """Make the store, or let it grow, so that it has at least that much.

        Returns
        -------
        Store
            With the specification that it has now.
        """
        if not self.spec.cohorts:
            self._make()
        return self.grow(growth)

    def _make(self) -> None:
        """Put the first step: whoever does so has made the store; its documents follow from it."""
        step = encode_step(first_step(self.spec))
        self.blobs.prepare()
        try:
            self.blobs.put_new(step_key(0), step)
        except StoreConflictError:
            raise StoreConflictError(
                f"another command made another store at {self.url} at this moment: look what it is, then run again"
            ) from None
        self.blobs.put(".hrrr/README", _README.encode())

    def grow(self, growth: Growth) -> Store:
        """Add days, variables or points: a step of growth, then the documents that follow from it, the root last.

        Returns
        -------
        Store
            With the grown specification.

        Raises
        ------
        PointsError, ConfigError
            If the store has a point elsewhere, or a variable of another selector, be it since a moment ago.
        StoreMismatchError
            If the store is another one by now.
        StoreConflictError
            If other writers were faster too often.
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
                spec = grown(spec, step, number)
            if self._show(spec):
                return Store(self.url, self.options, spec)
        raise StoreConflictError(f"{self.url} is being grown by too many writers: run the command again")

    def _current(self) -> StoreSpec:
        spec = load_spec(self.blobs)
        if spec is None:
            raise StoreError(f"{self.url} was removed while it was in use")
        existing = find_store(self.blobs)
        if existing is not None and self.spec.cohorts:
            existing.check_writer(self.spec, ahead=True)
        return spec

    def _show(self, spec: StoreSpec) -> bool:
        """Bring the documents and coordinates up to a step of growth, the root last; false when others were faster.

        Each object is replaced only if it is what it was before a look at the steps found none later: so no document
        of an earlier step ever covers one of a later step. Attributes that others have added stay.
        """
        root = self.blobs.get_with_etag(ROOT_KEY)
        if root is not None and json.loads(root[0])["attributes"]["hrrr_dask"]["growth"] == spec.growth:
            return True
        template = build_template(spec)
        keys = [key for key in template if key != ROOT_KEY]
        one_by_one = self.blobs.transactional  # a chunk after the document that has room for it
        with ThreadPoolExecutor(1 if one_by_one else AT_ONCE) as pool:
            before = dict(zip(keys, pool.map(self.blobs.get_with_etag, keys), strict=True))
            if later_steps(self.blobs, spec.growth):
                return False
            there = {key: found[0] for key, found in (before | {ROOT_KEY: root}).items() if found is not None}
            documents = with_strangers(template, there)
            changed = [key for key in keys if there.get(key) != documents[key]]
            try:
                list(pool.map(lambda key: put_over(self.blobs, key, documents[key], before[key]), changed))
                put_over(self.blobs, ROOT_KEY, documents[ROOT_KEY], root)
                self.blobs.seal(_growth_message(spec))
            except StoreConflictError:
                pause()
                return False
        return True

    def transact(self, work: Callable[[], tuple[_Answer, str]]) -> _Answer:
        """Do some writing and seal it; all of it again, on what is there then, while others are first.

        Parameters
        ----------
        work : callable
            Writes, and gives an answer and the message of the commit. A plain store shows each write at once.

        Raises
        ------
        StoreConflictError
            If others were faster too often.
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
        raise StoreConflictError(f"{self.url} is being committed to by too many others: run the command again")

    def join(self, partition: int, pieces: Mapping[str, list[Piece]]) -> tuple[int, set[tuple[str, int]]]:
        """Add values to the shards of a partition; the caller commits by the ledger entry that follows.

        Parameters
        ----------
        partition : int
            Which one.
        pieces : mapping of str to list of Piece
            For each variable that was to be read; a piece without values is a gap.

        Returns
        -------
        bytes_written : int
            To the store [B].
        already : set of (str, int)
            Variable and position in its list of those gaps whose values are all there: an attempt before this one
            wrote them, and did not live to commit.

        Raises
        ------
        StoreMismatchError
            If the store is no longer the one this writer knows.
        StoreError
            If a shard cannot be read.
        """
        existing = self.existing()
        existing.check_writer(self.spec)
        written, already = 0, set()
        size = self.spec.layout.shard_points
        for name, own in pieces.items():
            document = existing.documents[name]
            there = [not piece.complete for piece in own]
            for block in range(min(piece.first_point for piece in own) // size, -(-len(self.spec.points) // size)):

                def more(shard: NDArray[np.float32], block: int = block, own: list[Piece] = own) -> list[bool]:
                    return lay(shard, own, block * size)

                n_bytes, found = change_shard(self.blobs, f"{name}/c/{partition}/0/{block}", document, more)
                written += n_bytes
                there = [a and b for a, b in zip(there, found, strict=True)]
            already |= {(name, k) for k, whole in enumerate(there) if whole}
        return written, already

    def folded(self, inits: slice) -> Folded:
        """How the values of some init times stand."""
        return fold_inits(self.ledger, self.spec, inits)

    def existing(self) -> Existing:
        """What readers see of the store.

        Raises
        ------
        StoreError
            If it was removed.
        """
        existing = find_store(self.blobs)
        if existing is None:
            raise StoreError(f"{self.url} lost its root document while it was in use")
        return existing


def fold_inits(ledger: Ledger, spec: StoreSpec | Existing, inits: slice) -> Folded:
    """How the values of some init times stand, from the ledger alone."""
    return fold(ledger.tables(partitions_of(spec, inits), COLUMNS), spec.selection, spec.axis, inits, spec.cohort_sizes)


def partitions_of(spec: StoreSpec | Existing, inits: slice) -> range:
    """The partitions that hold some init times."""
    span = spec.layout.partition_days * len(spec.axis.cycles)
    return range(inits.start // span, -(-inits.stop // span))


def count(number: int, what: str) -> str:
    """A number with its noun.

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
