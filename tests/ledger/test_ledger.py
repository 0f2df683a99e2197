"""The ledger: entries that are read back whatever happens around them, and gathered without a row lost or doubled."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import datetime, timedelta
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.exceptions import GenericError
from support.specs import NAMES, attempt, outcome

from hrrr_dask.errors import StoreAccessError, StoreConflictError, StoreError
from hrrr_dask.ledger import ledger as module
from hrrr_dask.ledger.ledger import LEDGER_PREFIX, Ledger, to_dataframe
from hrrr_dask.ledger.rows import SCHEMA, encode_entry
from hrrr_dask.objects.objects import Blobs

MOMENT = datetime(2024, 5, 1)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(Blobs(str(tmp_path), {}))


def write(
    ledger: Ledger, partition: int = 0, number: int = 1, *, lead: int = 0, second: float = 0, reasons=None
) -> str:
    """Commit the two values of a file."""
    who = attempt(partition, number, second=second)
    return ledger.write(who, encode_entry([outcome(partition, lead, reasons)], who))


def entries(ledger: Ledger, partitions: range | None = None) -> Counter[str]:
    """Name of each entry to the number of its rows that are read."""
    return Counter(entry for table in ledger.tables(partitions, ["entry"]) for entry in table["entry"].to_pylist())


def keys(ledger: Ledger) -> list[str]:
    return ledger._blobs.keys(LEDGER_PREFIX)


def test_entries_are_read_in_the_order_in_which_they_were_committed(ledger):
    for partition, second, lead in ((1, 3, 3), (0, 2, 12), (1, 1.25, 0)):
        key = write(ledger, partition, lead=lead, second=second)
        assert key == f"{LEDGER_PREFIX}/{attempt(partition, second=second).entry}"
    assert ledger.read()["lead_hours"].to_pylist() == [12, 12, 0, 0, 3, 3]
    assert ledger.read(1)["lead_hours"].to_pylist() == [0, 0, 3, 3]
    assert ledger.read(2).num_rows == 0
    assert ledger.read(2).schema.equals(SCHEMA)


def test_a_ledger_without_entries_is_empty(ledger):
    assert ledger.read().schema.equals(SCHEMA)
    assert list(ledger.tables()) == []
    assert ledger.compact(MOMENT) == (0, 0)


def test_an_attempt_is_committed_once(ledger):
    write(ledger)
    with pytest.raises(StoreConflictError, match="another writer changed it first"):
        write(ledger, lead=1)
    write(ledger)  # the same again is no conflict: its answer may have been lost
    assert ledger.read().num_rows == 2


@pytest.mark.parametrize("columns", [("outcome",), ("entry", "outcome"), ("lead_hours", "variable"), SCHEMA.names])
def test_the_columns_that_were_asked_for_come_in_that_order(ledger, columns):
    write(ledger, 0)
    write(ledger, 1)
    for _ in range(2):
        tables = list(ledger.tables(columns=columns))
        assert all(table.column_names == list(columns) for table in tables)
        assert sum(table.num_rows for table in tables) == 4
        ledger.compact(MOMENT)


def test_other_objects_below_the_ledger_are_no_entries(ledger):
    write(ledger)
    ledger._blobs.put(f"{LEDGER_PREFIX}/note.txt", b"mine")
    assert ledger.read().num_rows == 2


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all"])
def test_a_damaged_entry_names_itself_and_what_to_do(ledger, damage):
    key = ledger.write(attempt(3), damage)
    with pytest.raises(StoreError, match=rf"{key} cannot be read: .*Remove it to have what it spoke of read"):
        ledger.read()


def test_an_entry_of_other_columns_is_named_too(ledger):
    sink = BytesIO()
    pq.write_table(pq.read_table(BytesIO(encode_entry([outcome(0, 0)], attempt()))).drop_columns(["etag"]), sink)
    ledger.write(attempt(), sink.getvalue())
    with pytest.raises(StoreError, match="cannot be read"):
        ledger.read()


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.9])
def test_damage_in_what_was_gathered_is_named_too(ledger, part):
    for number in range(40):
        write(ledger, number, reasons={NAMES[0]: f"reason {number}"})
    ledger.compact(MOMENT)
    (key,) = keys(ledger)
    data = ledger._blobs.get(key)
    assert data is not None
    begin = round(part * len(data))
    ledger._blobs.put(key, data[:begin] + bytes(byte ^ 0xFF for byte in data[begin : begin + 60]) + data[begin + 60 :])
    with pytest.raises(StoreError, match=rf"{key} cannot be read: "):
        ledger.read()


def test_people_can_read_the_ledger_as_a_table(ledger, tmp_path):
    write(ledger, second=1, reasons={NAMES[0]: "truncated"})
    write(ledger, second=2)
    frame = to_dataframe(str(tmp_path))
    assert frame["outcome"].tolist() == ["truncated", "complete", "complete", "complete"]
    assert list(frame.columns) == SCHEMA.names
    ledger.compact(MOMENT)
    assert to_dataframe(str(tmp_path)).equals(frame)


# --- gathering ---


def test_gathered_entries_are_one_object_with_the_same_rows(ledger):
    for partition, second in ((0, 1), (2, 5), (0, 3), (1, 4)):
        write(ledger, partition, second=second, lead=second, reasons={NAMES[0]: "truncated"})
    before, whole = ledger.read(), entries(ledger)
    assert ledger.compact(MOMENT) == (4, 1)
    assert keys(ledger) == [f"{LEDGER_PREFIX}/gathered-20240501T000000.000000Z.parquet"]
    assert ledger.read().to_pylist() == before.to_pylist()
    assert entries(ledger) == whole
    for partition in range(4):
        expected = [row for row in before.to_pylist() if row["entry"].startswith(f"{partition:06d}/")]
        assert ledger.read(partition).to_pylist() == expected


def test_one_entry_is_not_worth_gathering(ledger):
    write(ledger)
    before = keys(ledger)
    assert ledger.compact(MOMENT) == (1, 1)
    assert keys(ledger) == before


def test_what_comes_after_a_gathering_is_gathered_by_the_next(ledger):
    for number in range(6):
        write(ledger, number % 2, number, second=number)
        if number in (2, 5):
            ledger.compact(MOMENT + timedelta(days=number))
    assert len(keys(ledger)) == 2
    assert set(entries(ledger).values()) == {2}
    assert len(entries(ledger)) == 6
    assert ledger.compact(MOMENT + timedelta(days=9)) == (2, 2)


def test_a_gathering_that_was_killed_before_it_removed_the_entries_counts_them_once(ledger, monkeypatch):
    for number in range(5):
        write(ledger, number % 2, number, second=number)
    whole, rows = entries(ledger), ledger.read().to_pylist()
    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "delete", lambda *_: None)
        ledger.compact(MOMENT)
    assert len(keys(ledger)) == 6
    assert entries(ledger) == whole
    assert ledger.read().to_pylist() == rows
    write(ledger, 7)
    assert ledger.compact(MOMENT + timedelta(days=1)) == (7, 2)
    assert entries(ledger) == whole + Counter({attempt(7).entry: 2})
    assert len(keys(ledger)) == 2


def test_half_removed_entries_count_once(ledger, monkeypatch):
    for number in range(5):
        write(ledger, number % 2, number, second=number)
    whole = entries(ledger)
    remove = Blobs.delete
    with monkeypatch.context() as patch:
        patch.setattr(Blobs, "delete", lambda self, keys: remove(self, keys[:2]))
        ledger.compact(MOMENT)
    assert entries(ledger) == whole
    assert ledger.compact(MOMENT + timedelta(days=1)) == (4, 1), "nothing fresh: no second object of the same rows"
    assert entries(ledger) == whole


def test_a_row_group_of_other_partitions_is_not_read(ledger, monkeypatch):
    monkeypatch.setattr(module, "GATHERED_ROWS", 4)
    for partition in range(8):
        write(ledger, partition)
    ledger.compact(MOMENT)
    read, groups = pq.ParquetFile.read_row_group, []

    def counted(self, number, **options):
        groups.append(number)
        return read(self, number, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    assert entries(ledger, range(2, 4)) == {attempt(2).entry: 2, attempt(3).entry: 2}
    assert groups == [1]
    assert sum(entries(ledger, range(7, 99)).values()) == 2
    assert len(entries(ledger)) == 8


def test_an_entry_that_lies_in_two_row_groups_is_read_whole(ledger, monkeypatch):
    monkeypatch.setattr(module, "GATHERED_ROWS", 1)
    for partition in range(3):
        who = attempt(partition)
        ledger.write(who, encode_entry([outcome(0, lead) for lead in range(4)], who))
    ledger.compact(MOMENT)
    assert pq.ParquetFile(BytesIO(ledger._blobs.get(keys(ledger)[0]) or b"")).num_row_groups > 3
    assert set(entries(ledger).values()) == {8}
    assert entries(ledger, range(1, 2)) == {attempt(1).entry: 8}


def test_a_reader_whose_listed_entries_vanish_lists_anew(ledger, monkeypatch):
    for number in range(6):
        write(ledger, number % 2, number, second=number)
    whole = entries(ledger)
    read, listings = Ledger._read_entry, []

    def gathered_first(self, key, columns):
        if not listings:
            listings.append(key)
            Ledger(self._blobs).compact(MOMENT)
        return read(self, key, columns)

    monkeypatch.setattr(module, "READERS", 1)
    monkeypatch.setattr(Ledger, "_read_entry", gathered_first)
    assert entries(ledger) == whole
    assert listings


def test_a_reader_from_which_entries_always_vanish_gives_up_with_a_reason(ledger, monkeypatch):
    write(ledger)
    monkeypatch.setattr(Ledger, "_read_entry", lambda *_: None)
    with pytest.raises(StoreError, match=r"disappeared 100 times before they were read, .*: run the command again"):
        ledger.read()


def test_who_gathers_what_another_has_just_gathered_loses_nothing(ledger, monkeypatch):
    for number in range(6):
        write(ledger, number % 2, number, second=number)
    whole = entries(ledger)
    gather = Ledger._gather

    def second_in_between(self, fresh):
        monkeypatch.setattr(Ledger, "_gather", gather)
        data = gather(self, fresh)
        write(self, 5, second=50)
        Ledger(self._blobs).compact(MOMENT + timedelta(days=1))  # the other, of one entry more
        write(self, 6, second=60)
        return data

    monkeypatch.setattr(Ledger, "_gather", second_in_between)
    ledger.compact(MOMENT)
    expected = whole + Counter({attempt(5, second=50).entry: 2, attempt(6, second=60).entry: 2})
    assert entries(ledger) == expected
    ledger.compact(MOMENT + timedelta(days=2))
    assert entries(ledger) == expected


def test_who_finds_an_entry_gone_while_gathering_starts_over(ledger, monkeypatch):
    for number in range(6):
        write(ledger, number % 2, number, second=number)
    whole = entries(ledger)
    gather = Ledger._gather

    def too_late(self, fresh):
        monkeypatch.setattr(Ledger, "_gather", gather)
        Ledger(self._blobs).compact(MOMENT + timedelta(days=1))
        return gather(self, fresh)

    monkeypatch.setattr(Ledger, "_gather", too_late)
    assert ledger.compact(MOMENT) == (1, 1), "the other has compacted everything"
    assert entries(ledger) == whole


def test_who_finds_the_name_of_its_object_taken_starts_over(ledger, monkeypatch):
    for number in range(4):
        write(ledger, number % 2, number, second=number)
    put, others = Blobs.put_new, []

    def late(self, key, data):
        if not others and "gathered-" in key:
            others.append(key)
            write(ledger, 3, 9, second=50)
            Ledger(self).compact(MOMENT)
            write(ledger, 3, 10, second=51)
            write(ledger, 3, 11, second=52)
        put(self, key, data)

    monkeypatch.setattr(Blobs, "put_new", late)
    assert ledger.compact(MOMENT) == (3, 2)
    assert len(keys(ledger)) == 2
    assert set(entries(ledger).values()) == {2}
    assert len(entries(ledger)) == 7


def test_rows_are_read_in_the_order_of_their_commits_whatever_the_clock_of_who_compacts_them(ledger):
    for number in range(6):
        write(ledger, 0, number, second=number, lead=number)
        if number in (1, 3, 5):
            ledger.compact(MOMENT - timedelta(days=number))
    assert len(keys(ledger)) == 3
    assert ledger.read()["lead_hours"].to_pylist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_rows_are_read_in_the_order_of_their_commits_if_some_were_compacted_since_they_were_listed(ledger, monkeypatch):
    for number in range(6):
        write(ledger, 0, number, second=number, lead=number)
    read, called = Ledger._read_entry, []

    def compacted_first(self, key, schema):
        called.append(key)
        if len(called) == 3:
            remove = Blobs.delete
            with monkeypatch.context() as patch:  # the other was killed while it deleted
                patch.setattr(Ledger, "_read_entry", read)
                patch.setattr(Blobs, "delete", lambda blobs, keys: remove(blobs, keys[2:4]))
                Ledger(self._blobs).compact(MOMENT)
        return read(self, key, schema)

    monkeypatch.setattr(module, "READERS", 1)
    monkeypatch.setattr(Ledger, "_read_entry", compacted_first)
    assert ledger.read()["lead_hours"].to_pylist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 3), st.just("gather"), st.just("killed gathering")), max_size=14))
def test_whatever_is_committed_and_gathered_each_row_counts_once(tmp_path_factory, steps):
    ledger = Ledger(Blobs(str(tmp_path_factory.mktemp("ledger")), {}))
    expected: Counter[str] = Counter()
    for number, step in enumerate(steps):
        if isinstance(step, int):
            write(ledger, step, number, second=number)
            expected[attempt(step, number, second=number).entry] = 2
        elif step == "gather":
            ledger.compact(MOMENT + timedelta(seconds=number))
        else:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Blobs, "delete", lambda *_: None)
                ledger.compact(MOMENT + timedelta(seconds=number))
        assert entries(ledger) == expected
        some = range(1, 3)
        assert entries(ledger, some) == {entry: rows for entry, rows in expected.items() if int(entry[:6]) in some}


class Crowd:
    """Threads that gather and read one ledger until they are told to stop; collects what must not happen."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.done = threading.Event()
        self.failures: list[BaseException] = []

    def ledger(self) -> Ledger:
        return Ledger(Blobs(self.url, {}))

    def often(self, act) -> None:
        """Do it again and again."""
        count = 0
        while not self.done.is_set():
            count += 1
            try:
                act(count)
            except StoreError as error:
                self.failures.append(error)

    def gather(self, who: int) -> None:
        own = self.ledger()
        self.often(lambda count: own.compact(MOMENT + timedelta(seconds=2 * count + who)))

    def read(self) -> None:
        own, least = self.ledger(), Counter[str]()

        def look(_: int) -> None:
            nonlocal least
            found = entries(own)
            if set(found.values()) - {2} or least - found:
                self.failures.append(AssertionError(f"after {least}: {found}"))
            least = found

        self.often(look)


def _write_many(url: str, job: int) -> None:
    ledger = Ledger(Blobs(url, {}))
    for number in range(20):
        who = attempt(number % 3, number, job=f"job{job}", second=number)
        ledger.write(who, encode_entry([outcome(number % 4, 0)], who))


def test_gathering_by_two_while_others_write_and_read_loses_and_doubles_nothing(ledger, tmp_path):
    crowd = Crowd(str(tmp_path))
    writers = [threading.Thread(target=_write_many, args=(crowd.url, job)) for job in (0, 1)]
    threads = [threading.Thread(target=act) for act in (lambda: crowd.gather(0), lambda: crowd.gather(1), crowd.read)]
    for each in (*threads, *writers):
        each.start()
    for writer in writers:
        writer.join()
    crowd.done.set()
    for thread in threads:
        thread.join()
    assert not crowd.failures
    expected = {
        attempt(number % 3, number, job=f"job{job}", second=number).entry: 2 for number in range(20) for job in (0, 1)
    }
    assert entries(ledger) == expected
    for second in (90_000, 90_001):
        ledger.compact(MOMENT + timedelta(seconds=second))
        assert entries(ledger) == expected


def test_an_archive_that_breaks_off_while_what_was_gathered_is_read_is_no_damage(ledger, monkeypatch):
    for number in range(3):
        write(ledger, number)
    ledger.compact(MOMENT)
    opened = Blobs.open

    def breaking(self, key):
        found = opened(self, key)
        monkeypatch.setattr(found, "_file", Broken(found._file))
        return found

    monkeypatch.setattr(Blobs, "open", breaking)
    with pytest.raises(StoreAccessError, match=r"cannot read .*gathered-.*: the line is cut"):
        ledger.read()


class Broken:
    """Obstore's file whose second read fails."""

    def __init__(self, file) -> None:
        self._file, self._reads = file, 0

    def read(self, size: int) -> bytes:
        self._reads += 1
        if self._reads > 1:
            raise GenericError("the line is cut")
        return self._file.read(size)

    def __getattr__(self, name: str):
        return getattr(self._file, name)
