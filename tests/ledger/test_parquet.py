"""Parquet is read and written without threads of Arrow, which may abort or block a process that exits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.specs import attempt, outcome

import hrrr_dask
from hrrr_dask.ledger.rows import encode_entry

ROOT = Path(hrrr_dask.__file__).parents[1]

LEDGER_IN_USE = """\
import os, sys, time
from datetime import datetime
from pathlib import Path
import pandas, pyarrow
from hrrr_dask.ledger.ledger import Ledger, to_dataframe
from hrrr_dask.ledger.rows import decode_entry, encode_entry
from hrrr_dask.objects.objects import Blobs
from support.specs import attempt, outcome

def threads():
    names = {task.name: (task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    return {number for number, name in names.items() if not name.startswith("tokio")}

def use(ledger):
    assert ledger.read().num_rows == ledger.read(0).num_rows == len(to_dataframe(sys.argv[1])) == 8

if sys.argv[2:]:
    pyarrow.table({"a": [1], "b": [2]}).to_pandas()
    import pyarrow.parquet
ledger = Ledger(Blobs(sys.argv[1], {}, create=True))
before = threads()
for number in range(4):
    who = attempt(0, number, second=number)
    entry = encode_entry([outcome(0, 0)], who)
    assert decode_entry(entry).num_rows == 2
    ledger.write(who, entry)
use(ledger)
ledger.compact(datetime(2024, 5, 1))
use(ledger)
if sys.argv[2:]:
    pyarrow.parquet.read_table(next(Path(sys.argv[1]).rglob("*.parquet")))
for _ in range(20):  # a new thread has the name of its parent until it gives itself its own
    if not threads() - before:
        break
    time.sleep(0.1)
print(len(threads() - before), "threads")
"""


def threads_left(directory, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", LEDGER_IN_USE, str(directory), *arguments],
        env={"PYTHONPATH": f"{ROOT}:{Path(__file__).parents[1]}", "OPENBLAS_NUM_THREADS": "1", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[0])


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists the threads of a process in /proc")
def test_a_ledger_is_written_read_and_compacted_without_threads_of_arrow(tmp_path):
    assert threads_left(tmp_path / "ours") == 0
    assert threads_left(tmp_path / "control", "control") > 0, "threads of Arrow are seen, if there are any"


TABLE_IN_USE = """
import io
from pathlib import Path
import pyarrow as pa
from pyarrow.parquet import ParquetWriter

def threads():
    return {task.name for task in Path("/proc/self/task").iterdir()}

class Sink(io.RawIOBase):
    def writable(self):
        return True
    def write(self, data):
        return len(data)

table = pa.table({name: pa.array(range(300_000), pa.float32()) for name in "abcdefgh"})
before = threads()
with ParquetWriter(pa.PythonFile(Sink(), mode="w"), table.schema, compression="zstd") as writer:
    writer.write_table(table, row_group_size=table.num_rows)
print(len(threads() - before))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="lists the threads of a process in /proc")
def test_a_table_is_written_to_a_python_file_without_threads_of_arrow():
    """As an export does: what Arrow's threads read or write at the end of a process aborts it."""
    done = subprocess.run([sys.executable, "-c", TABLE_IN_USE], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["0"]


def test_only_one_module_reads_parquet_and_two_write_it():
    sources = [path for name in ("hrrr_dask", "benchmarks") for path in (ROOT / name).rglob("*.py")]
    threaded = re.compile(r"pyarrow\.parquet|pyarrow\.dataset|to_pandas\((?!use_threads=False)")
    found = {path.relative_to(ROOT).as_posix() for path in sources if threaded.search(path.read_text())}
    assert found == {"hrrr_dask/ledger/parquet.py", "hrrr_dask/tables/day_files.py"}
    used = re.findall(r"pyarrow\.parquet.*", (ROOT / "hrrr_dask/tables/day_files.py").read_text())
    assert used == ["pyarrow.parquet import ParquetWriter"]


def test_an_entry_has_the_same_bytes_every_time():
    assert encode_entry([outcome(0, 0)], attempt()) == encode_entry([outcome(0, 0)], attempt())
