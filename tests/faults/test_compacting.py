"""Whoever reads the ledger gets every row once, even if entries are compacted between listing and reading."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from support.oracle import without_dask, write_points

import hrrr_dask
from hrrr_dask.errors import StoreError
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger import ledger as module
from hrrr_dask.ledger.ledger import LEDGER_PREFIX, Ledger, to_dataframe
from hrrr_dask.ledger.parquet import encode_tables
from hrrr_dask.ledger.rows import SCHEMA
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.testing import GridWindow, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
FILES = 4
TIMES = 12
"""How often entries are compacted before they are read."""
MOMENT = datetime(2020, 1, 1)
"""Earlier than all commits: the clocks of two machines may differ."""


@pytest.fixture
def filled(tmp_path):
    """A store of four files, and its archive."""
    archive = write_archive(
        tmp_path / "archive",
        start=datetime(2024, 1, 1),
        end=datetime(2024, 1, 1, 12),
        cycles=[0, 12],
        lead_hours=[0, 1],
        variables=["temperature_2m"],
        decoys=False,
        window=WINDOW,
    )
    places = list(zip(*WINDOW.latlon([2.0, 5.0], [3.0, 8.0]), strict=True))
    with without_dask() as client:
        hrrr_dask.backfill(
            write_points(tmp_path / "points.csv", places),
            "2024-01-01",
            "2024-01-01",
            str(tmp_path / "x.zarr"),
            client=client,
            source=[str(archive.root)],
            variables="temperature_2m",
            cycles=[0, 12],
            lead_hours=[0, 1],
            axis_start="2024-01-01",
        )
    return str(tmp_path / "x.zarr")


class Others:
    """Commands that commit two more entries before each listing of the ledger, and compact it after the listing."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._blobs = Blobs(url, {})
        self._rows = Ledger(self._blobs).read()
        self.times = 0
        monkeypatch.setattr(Blobs, "keys", self._listing(Blobs.keys))

    def _listing(self, keys):
        def listed(blobs, prefix, **options):
            if prefix != LEDGER_PREFIX or blobs is self._blobs or self.times == TIMES:
                return keys(blobs, prefix, **options)
            self.times += 1
            for who in "ab":
                self._commit(f"000000/20240501T000000.{self.times:06}Z-other-{who}.parquet")
            found = keys(blobs, prefix, **options)
            Ledger(self._blobs).compact(MOMENT + timedelta(seconds=self.times))
            return found

        return listed

    def _commit(self, entry: str) -> None:
        """Commit the same values again, as another command may."""
        at = SCHEMA.get_field_index("entry")
        names = pa.array([entry] * len(self._rows)).cast(SCHEMA.field(at).type)
        again = encode_tables([self._rows.set_column(at, SCHEMA.field(at), names)], SCHEMA)
        self._blobs.put_new(f"{LEDGER_PREFIX}/{entry}", again)


@pytest.fixture
def others(filled, monkeypatch):
    return Others(filled, monkeypatch)


def reads_again(store):
    with without_dask() as client:
        return hrrr_dask.backfill(None, "2024-01-01", "2024-01-01", store, client=client).files_read


def updates(store):
    with without_dask() as client:
        return hrrr_dask.update(store, end="2024-01-01T12", client=client).files_read


def adds_a_point(store):
    latitude, longitude = WINDOW.latlon(4.0, 4.0)
    more = Points(("new",), ("new",), [float(latitude)], [float(longitude)])
    with without_dask() as client:
        return hrrr_dask.add_points(store, more, client=client).files_read


READERS = {
    "to_dataframe": (lambda store: set(to_dataframe(store).outcome), {"complete"}),
    "status": (lambda store: hrrr_dask.status(store, gaps=True).files_complete, FILES),
    "verify": (lambda store: hrrr_dask.verify(store, every_file=True).outcome, "equal"),
    "verify_checksums": (lambda store: hrrr_dask.verify_checksums(store).outcome, "equal"),
    "assess": (lambda store: hrrr_dask.assess(store).files, FILES),
    "plan": (lambda store: hrrr_dask.plan(None, "2024-01-01", "2024-01-01", store=store).n_done, FILES),
    "backfill": (reads_again, 0),
    "update": (updates, 0),
    "add_points": (adds_a_point, FILES),
    "compact": (lambda store: hrrr_dask.compact(store)[1], TIMES),
}


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_starts_over_if_entries_were_compacted_since_they_were_listed(filled, others, reader):
    read, expected = READERS[reader]
    assert read(filled) == expected
    assert others.times == TIMES
    rows = to_dataframe(filled)
    own = 2 if reader == "add_points" else 1
    assert len(rows) == len(rows.drop_duplicates(["entry", "init_time", "lead_hours"])) == FILES * (own + 2 * TIMES)


@pytest.mark.parametrize("reader", ["status", "compact"])
def test_a_reader_that_is_overtaken_for_ever_ends_with_an_error_that_says_why(filled, others, monkeypatch, reader):
    monkeypatch.setattr(module, "LISTINGS", 3)
    with pytest.raises(StoreError, match=r"disappeared 3 times .*: run the command again"):
        READERS[reader][0](filled)
    assert others.times == 3
