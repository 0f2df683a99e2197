"""The Zarr store: made once from its template, grown by metadata, added to in whole shards.

Together with the ledger this is all that writes. The rule that keeps any number of writers apart, without a lock and
without a clock: **nothing that was written is taken away.** A shard is replaced only by one that holds all it held and
more, and only if it is still what the writer read (a conditional PUT); steps of growth and ledger entries are new
objects. What no entry calls complete may be there or not; what one calls complete is there to stay.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.blobs import Blobs
from hrrr_dask.errors import StoreConflictError, StoreError
from hrrr_dask.existing import Existing, find_store, later_steps, load_spec, step_key
from hrrr_dask.folding import COLUMNS, Folded, available_at, fold
from hrrr_dask.join import Piece, lay
from hrrr_dask.ledger import LEDGER_PREFIX, Ledger
from hrrr_dask.outcomes import NOT_INGESTED, NOT_OFFERED
from hrrr_dask.shards import decode_shard, encode_shard, fill_shard
from hrrr_dask.spec import Growth, StoreSpec, encode_step, first_step, grown
from hrrr_dask.template import ROOT_KEY, build_template
from hrrr_dask.transactions import open_blobs

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Store"]

_Answer = TypeVar("_Answer")

TRIES: Final = 50
"""How often one object is tried against other writers."""

_PAUSE_S: Final = 0.02
"""About how long a writer that was beaten waits before it tries again [s]."""

_AT_ONCE: Final = 8
"""Small objects read or written at once."""

_UNTOUCHED: Final = (NOT_INGESTED, NOT_OFFERED)
"""Status of files of which the ledger says nothing."""


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
        StoreMismatchError
            If the store is another one by now.
        StoreConflictError
            If other writers were faster too often.
        """
        for _ in range(TRIES):
            self.blobs.refresh()
            spec = self._current()
            if step := growth.step_from(spec):
                number = spec.growth + 1
                try:
                    self.blobs.put_new(step_key(number), encode_step(step))
                except StoreConflictError:
                    _pause()
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
        of an earlier step ever covers one of a later step.
        """
        root = self.blobs.get_with_etag(ROOT_KEY)
        if root is not None and json.loads(root[0])["attributes"]["hrrr_dask"]["growth"] == spec.growth:
            return True
        *parts, (_, shown) = build_template(spec).items()
        one_by_one = self.blobs.transactional  # a chunk after the document that has room for it
        with ThreadPoolExecutor(1 if one_by_one else _AT_ONCE) as pool:
            before = list(pool.map(self.blobs.get_with_etag, (key for key, _ in parts)))
            if later_steps(self.blobs, spec.growth):
                return False
            changed = [
                (key, data, found) for (key, data), found in zip(parts, before, strict=True) if _differs(found, data)
            ]
            try:
                list(pool.map(lambda change: self._put_over(*change), changed))
                self._put_over(ROOT_KEY, _with_strangers(shown, root), root)
                self.blobs.seal(_growth_message(spec))
            except StoreConflictError:
                _pause()
                return False
        return True

    def _put_over(self, key: str, data: bytes, found: tuple[bytes, str] | None) -> None:
        if found is None:
            self.blobs.put_new(key, data)
        else:
            self.blobs.replace(key, data, found[1])

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
                _pause()
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

                n_bytes, found = self._change(f"{name}/c/{partition}/0/{block}", document, more)
                written += n_bytes
                there = [a and b for a, b in zip(there, found, strict=True)]
            already |= {(name, k) for k, whole in enumerate(there) if whole}
        return written, already

    def follow_ledger(self, partitions: Sequence[int]) -> int:
        """Let ``status`` and ``available_at`` of partitions say what the ledger says; returns bytes written [B]."""

        def work() -> tuple[int, str]:
            written = sum(self.show_status(number) for number in partitions)
            return written, f"status of {count(len(partitions), 'partition')} follows the ledger"

        return self.transact(work)

    def show_status(self, partition: int, also: Sequence[pa.Table] = ()) -> int:
        """The same for one partition, not sealed.

        The shards are read before the ledger: so whoever writes last has read every entry that was there before.

        Parameters
        ----------
        partition : int
            Which one.
        also : sequence of pyarrow.Table
            Rows that are about to be committed.

        Returns
        -------
        int
            Bytes written [B].
        """
        existing = self.existing()
        inits = slice(partition * self.spec.span, (partition + 1) * self.spec.span)
        keys = {name: f"{name}/c/{partition}/0" for name in ("available_at", "status")}
        for _ in range(TRIES):
            before = {name: self._shard(key, existing.documents[name]) for name, key in keys.items()}
            rows = [*self.ledger.tables(range(partition, partition + 1)), *also]
            now: dict[str, NDArray[Any]] = {
                "available_at": available_at(rows, existing.selection, existing.axis, inits),
                "status": fold(rows, existing.selection, existing.axis, inits, existing.cohort_sizes).status(),
            }
            encoded = {
                name: encode_shard(existing.documents[name], now[name])
                for name, (shard, found) in before.items()
                if found is None or not np.array_equal(shard, now[name])
            }
            try:
                for name, data in encoded.items():
                    self._put_over(keys[name], data, before[name][1])
            except StoreConflictError:
                _pause()
                continue
            return sum(map(len, encoded.values()))
        raise StoreConflictError(f"{self.url}/{keys['status']} is being written by too many others: run it again")

    def stale_status(self, folded: Folded, inits: slice) -> list[int]:
        """The partitions whose ``status`` is not what the ledger says: their writer was killed after its commit.

        Parameters
        ----------
        folded : Folded
            How the values of ``inits`` stand.
        inits : slice
            Whole partitions, from start to stop.
        """
        existing, span = self.existing(), self.spec.span
        wanted = folded.status()
        begun = [
            number
            for number in range(inits.start // span, inits.stop // span)
            if np.isin(wanted[self._rows(number, inits)], _UNTOUCHED, invert=True).any()
        ]

        def is_stale(number: int) -> bool:
            shard = self._shard(f"status/c/{number}/0", existing.documents["status"])[0]
            return not np.array_equal(shard, wanted[self._rows(number, inits)])

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return [number for number, stale in zip(begun, pool.map(is_stale, begun), strict=True) if stale]

    def _rows(self, number: int, inits: slice) -> slice:
        first = number * self.spec.span - inits.start
        return slice(first, first + self.spec.span)

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

    def _change(
        self, key: str, document: Mapping[str, Any], change: Callable[[NDArray[np.float32]], list[bool]]
    ) -> tuple[int, list[bool]]:
        """Change a shard in place, again until no other writer came between; bytes written, and the answer."""
        for _ in range(TRIES):
            shard, found = self._shard(key, document)
            before = shard.copy()
            answer = change(shard)
            if found is not None and shard.tobytes() == before.tobytes():
                return 0, answer
            data = encode_shard(document, shard)
            try:
                self._put_over(key, data, found)
            except StoreConflictError:
                _pause()
                continue
            return len(data), answer
        raise StoreConflictError(f"{self.url}/{key} is being written by too many others: run the command again")

    def _shard(self, key: str, document: Mapping[str, Any]) -> tuple[NDArray[Any], tuple[bytes, str] | None]:
        found = self.blobs.get_with_etag(key)
        if found is None:
            return fill_shard(document).copy(), None
        try:
            return decode_shard(document, found[0]).copy(), found
        except (ValueError, RuntimeError, TypeError) as error:
            raise StoreError(
                f"the shard {self.url}/{key} cannot be read: {error}. Remove it and the ledger's entries below "
                f"{LEDGER_PREFIX}/{int(key.split('/')[2]):06d} to have the partition read from the archive again"
            ) from error


def fold_inits(ledger: Ledger, spec: StoreSpec | Existing, inits: slice) -> Folded:
    """How the values of some init times stand, from the ledger alone."""
    span = spec.layout.partition_days * len(spec.axis.cycles)
    partitions = range(inits.start // span, -(-inits.stop // span))
    return fold(ledger.tables(partitions, COLUMNS), spec.selection, spec.axis, inits, spec.cohort_sizes)


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


def _differs(found: tuple[bytes, str] | None, data: bytes) -> bool:
    return found is None or found[0] != data


def _with_strangers(root: bytes, found: tuple[bytes, str] | None) -> bytes:
    """Keep the attributes that others have added to the group."""
    if found is None:
        return root
    document = json.loads(root)
    document["attributes"] = {**json.loads(found[0])["attributes"], **document["attributes"]}
    return json.dumps(document, indent=1).encode()


def _pause() -> None:
    time.sleep(random.uniform(0.5, 1.5) * _PAUSE_S)  # noqa: S311  only to keep two writers out of step


_README: Final = """\
hrrr_dask keeps its ledger here: one Parquet file per partition and attempt, below ledger/.
Read it with hrrr_dask.ledger.to_dataframe(url), DuckDB or pyarrow. Zarr readers do not need it.
"""
