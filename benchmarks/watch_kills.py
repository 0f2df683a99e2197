"""Kills watchers of a queue at random while 500 files are told of, and checks that the store has each once.

Run ``python -m benchmarks.watch_kills --kills 30 --seed 1``. A loopback SNS and SQS tell of every file and inventory of
a synthetic archive in random order, some twice, among events of other products. Some files appear only after their
events. Two ``hrrr-dask watch`` share the queue, each with a cluster of its own or one that they share, by lot; one of
them after the other is killed by SIGKILL at a random moment and started again. Then they go on until the queue is
empty, and end by SIGTERM. The store must have the archive's values, and no file may be read when all is told again.

A file of which two watchers get an event at the same time is read by both, which changes nothing; it is counted.
With ``--watchers 1`` no file may be committed twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import hrrr_dask
from benchmarks.chaos_checks import WrongError
from benchmarks.running import Answer, Row, UnavailableError, make_parser, run_alone, say, working
from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.errors import ConfigError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.records import GribFile
from hrrr_dask.testing import GridWindow, LoopbackS3, SyntheticArchive, expected_field, loopback_s3, write_archive

__all__ = ["collect", "parser", "readme_rows", "show"]

WINDOW: Final = GridWindow(288, 794, 8, 10)
NAMES: Final = ("temperature_2m", "dewpoint_2m", "wind_gust_surface")
CELLS: Final = (np.array([2, 5]), np.array([3, 8]))
"""Rows and columns of the points."""
LEADS: Final = 10
START: Final = datetime(2024, 1, 1)

TWICE: Final = 0.2
"""Share of the events that are sent twice."""
OTHERS: Final = 2
"""Events of other products for each event."""
LATE: Final = 0.05
"""Share of the files that appear only after their events."""
OWN_CLUSTER: Final = 0.2
"""Share of the watchers that start a cluster of their own."""
LATEST_KILL_S: Final = 10.0
PATIENCE_S: Final = 600.0
"""Time after which a queue is not emptied any more [s]."""

_CLI: Final = str(Path(sys.executable).with_name("hrrr-dask"))


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = make_parser("watch_kills", __doc__, quick="60 files and 4 kills", work="the archive and the store")
    made.add_argument("--files", type=int, default=500, help="files that are told of (default 500)")
    made.add_argument("--kills", type=int, default=30, help="SIGKILLs (default 30)")
    made.add_argument("--watchers", type=int, default=2, help="watchers at once (default 2)")
    made.add_argument("--seed", type=int, default=1, help="of the lots (default 1)")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Make an archive and a store, tell, kill, and check."""
    files, kills = (60, 4) if given.quick else (given.files, given.kills)
    lots = random.Random(given.seed)
    with ExitStack() as stack:
        root = stack.enter_context(working(given.work))
        try:
            server = stack.enter_context(loopback_s3())
        except ConfigError as error:
            raise UnavailableError(str(error)) from error
        cluster = stack.enter_context(_cluster())
        archive, store = _make(root, files, cluster)
        queue, dead, topic = _make_queue(server)
        watchers = _Watchers(store, queue, server, cluster, root, lots)
        stack.callback(watchers.kill_all)
        began = time.monotonic()
        for _ in range(given.watchers):
            watchers.start()
        figures = _tell_and_kill(archive, server, queue, topic, watchers, kills, lots)
        reports = watchers.end()
        figures |= {"files": files, "seconds": round(time.monotonic() - began, 1), "dead_letters": _count(server, dead)}
        figures |= _check(archive, store, files) | _check_again(archive, store, queue, topic, server, watchers)
        figures["read_by_last_watchers"] = [report["files_read"] for report in reports]
        figures |= {"seed": given.seed, "watchers": given.watchers}
        if given.watchers == 1 and figures["files_committed_twice"]:
            raise WrongError(f"{figures['files_committed_twice']} files were committed twice by one watcher")
        if figures["dead_letters"]:
            raise WrongError(f"{figures['dead_letters']} messages are dead letters")
    return figures


def show(answer: Answer) -> None:
    """Print the figures."""
    for name, value in answer.items():
        print(f"{name.replace('_', ' '):<32} {value}")


def readme_rows(_: Answer) -> list[Row]:
    """None: it measures nothing."""
    return []


@contextmanager
def _cluster() -> Iterator[str]:
    with LocalCluster(
        n_workers=1, threads_per_worker=4, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as cluster:
        yield str(cluster.scheduler_address)


def _make(root: Path, files: int, cluster: str) -> tuple[SyntheticArchive, Path]:
    """An archive with the files and a run before them, and a store that has that run."""
    inits = [START + timedelta(hours=hour) for hour in range(1 - (-files // LEADS))]
    archive = write_archive(
        root / "archive", init_times=inits, lead_hours=range(LEADS), variables=NAMES, decoys=False, window=WINDOW
    )
    latitude, longitude = WINDOW.latlon(CELLS[0] + 0.2, CELLS[1] + 0.1)
    points = pd.DataFrame({"point_id": ["a", "b"], "latitude": latitude, "longitude": longitude})
    store = root / "x.zarr"
    with Client(cluster) as client:
        hrrr_dask.backfill(
            points,
            START,
            START,
            store,
            client=client,
            progress=False,
            source=[str(archive.root)],
            variables=list(NAMES),
            lead_hours=f"0-{LEADS - 1}",
            axis_start=f"{START:%Y-%m-%d}",
            partition_days=1,
        )
    return archive, store


def _make_queue(server: LoopbackS3) -> tuple[str, str, str]:
    """URLs of a queue and of its dead letters, and the topic that it is subscribed to."""
    sqs, sns = server.client("sqs"), server.client("sns")
    dead = sqs.create_queue(QueueName="hrrr-dead")["QueueUrl"]
    policy = {"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": 100}  # each kill is one
    queue = sqs.create_queue(QueueName="hrrr-new", Attributes={"RedrivePolicy": json.dumps(policy)})["QueueUrl"]
    topic = sns.create_topic(Name="NewHRRRObject")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=_arn(sqs, queue))
    return queue, dead, topic


def _arn(sqs: Any, url: str) -> str:
    return str(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"])


def _count(server: LoopbackS3, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = server.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def _publish(server: LoopbackS3, topic: str, keys: Sequence[str], pause_s: float = 0.0) -> None:
    """Publish an event for each key, ten at once, as NOAA's bucket does."""
    sns = server.client("sns")
    for start in range(0, len(keys), 10):
        events = [
            {
                "eventName": "ObjectCreated:Put",
                "eventSource": "aws:s3",
                "s3": {"bucket": {"name": "noaa-hrrr-bdp-pds"}, "object": {"key": quote(key, safe=""), "size": 1}},
            }
            for key in keys[start : start + 10]
        ]
        entries = [{"Id": str(k), "Message": json.dumps({"Records": [event]})} for k, event in enumerate(events)]
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        time.sleep(pause_s)


def _keys(archive: SyntheticArchive, lots: random.Random) -> list[str]:
    """Keys of all events: files and inventories, some twice, and other products, in random order."""
    told = [key for file in archive.files if file.init_time > START for key in (object_key(file), inventory_key(file))]
    keys = told + [key for key in told if lots.random() < TWICE]
    for number in range(OTHERS * len(told)):
        keys.append(object_key(GribFile(START, number % 19, "prs")))
    lots.shuffle(keys)
    return keys


def _tell_and_kill(
    archive: SyntheticArchive,
    server: LoopbackS3,
    queue: str,
    topic: str,
    watchers: _Watchers,
    kills: int,
    lots: random.Random,
) -> Answer:
    """Publish while watchers are killed, then wait until the queue is empty."""
    keys = _keys(archive, lots)
    new = [file for file in archive.files if file.init_time > START]
    late = lots.sample(new, max(1, int(LATE * len(new))))
    for file in late:
        archive.path(file).rename(archive.path(file).with_suffix(".late"))
    pause_s = kills * LATEST_KILL_S / 2 / (len(keys) / 10) * 0.8
    publisher = threading.Thread(target=_publish, args=(server, topic, keys, pause_s))
    publisher.start()
    for number in range(kills):
        time.sleep(lots.uniform(0, LATEST_KILL_S) * 2 / watchers.at_once)
        if number == kills // 4:
            for file in late:
                archive.path(file).with_suffix(".late").rename(archive.path(file))
        watchers.kill_one()
        watchers.start()
        say(f"kill {number + 1} of {kills}; {_count(server, queue):,} messages in the queue")
    publisher.join()
    deadline = time.monotonic() + PATIENCE_S
    while left := _count(server, queue):
        if time.monotonic() > deadline:
            raise WrongError(f"{left} messages are left in the queue after {PATIENCE_S:.0f} s")
        time.sleep(1)
    return {"events": len(keys), "files_late": len(late), "kills": kills, "left_in_queue": 0}


class _Watchers:
    """``hrrr-dask watch``, several at once."""

    def __init__(
        self, store: Path, queue: str, server: LoopbackS3, cluster: str, root: Path, lots: random.Random
    ) -> None:
        self._store, self._queue, self._cluster, self._root, self._lots = store, queue, cluster, root, lots
        self._environment = {**os.environ, **server.environment()}
        self._running: list[tuple[subprocess.Popen[str], Path]] = []
        self._number = 0

    @property
    def at_once(self) -> int:
        """How many run."""
        return len(self._running)

    def start(self) -> None:
        """Start one, with a cluster of its own or the shared one, by lot."""
        own = self._lots.random() < OWN_CLUSTER
        self._number += 1
        said = self._root / f"watch-{self._number}.txt"
        process = self._open(["--workers=1"] if own else [f"--cluster={self._cluster}"], said)
        self._running.append((process, said))

    def kill_one(self) -> None:
        """Kill the older one, and its workers, by SIGKILL."""
        process, said = self._running.pop(0)
        if process.poll() is not None:
            raise WrongError(f"a watcher ended with code {process.returncode}: {said.read_text()}")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if "Traceback" in said.read_text():
            raise WrongError(f"a watcher printed a traceback: {said.read_text()}")

    def end(self) -> list[Answer]:
        """End all by SIGTERM; returns what they report."""
        found = []
        for process, said in self._running:
            process.terminate()
            out, _ = process.communicate(timeout=120)
            if process.returncode:
                raise WrongError(f"a watcher ended with code {process.returncode}: {said.read_text()}")
            found.append(json.loads(out))
        self._running.clear()
        return found

    def once(self) -> Answer:
        """Run one until the queue is empty."""
        process = self._open([f"--cluster={self._cluster}", "--once"], self._root / "once.txt")
        out, _ = process.communicate(timeout=300)
        answer: Answer = json.loads(out)
        return answer

    def kill_all(self) -> None:
        """Kill what still runs."""
        for process, _ in self._running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _open(self, options: list[str], said: Path) -> subprocess.Popen[str]:
        words = ["watch", "--store", str(self._store), "--queue", self._queue, "--queue-option=visibility=15s"]
        words += ["--batch-wait=3s", "--sweep=0", "--json", *options]
        with said.open("w") as err:
            return subprocess.Popen(
                [_CLI, *words],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                env=self._environment,
                start_new_session=True,
            )


def _check(archive: SyntheticArchive, store: Path, files: int) -> Answer:
    """Compare every value with the archive's, and count the files that the ledger has twice."""
    ds = hrrr_dask.open_dataset(store)
    there = {name: ds[name].values for name in (*NAMES, "status")}
    inits, leads = list(ds.indexes["init_time"]), list(ds.indexes["lead_time"])
    n_values = 0
    for file in archive.files:
        at = inits.index(pd.Timestamp(file.init_time)), leads.index(pd.Timedelta(hours=file.lead_hours))
        if there["status"][at] != COMPLETE:
            raise WrongError(f"{file.label} was lost: its status is {there['status'][at]}")
        for name in NAMES:
            expected = expected_field(name, file.init_time, 60 * file.lead_hours, WINDOW)[CELLS]
            if not np.array_equal(there[name][at], expected):
                raise WrongError(f"{name} of {file.label} is {there[name][at]}, not {expected}")
            n_values += expected.size
    ledger = to_dataframe(store)
    complete = ledger[ledger.outcome == "complete"]
    twice = complete[complete.duplicated(["init_time", "lead_minutes", "variable"])]
    return {
        "files_in_store": len(archive.files) - LEADS,
        "files_lost": files - (len(archive.files) - LEADS),
        "values_right": n_values,
        "files_committed_twice": len(twice.drop_duplicates(["init_time", "lead_minutes"])),
        "gaps_in_ledger": int((ledger.outcome != "complete").sum()),
        "ledger_rows": len(ledger),
    }


def _check_again(
    archive: SyntheticArchive, store: Path, queue: str, topic: str, server: LoopbackS3, watchers: _Watchers
) -> Answer:
    """Tell of all files once more: none is read."""
    before = len(to_dataframe(store))
    _publish(server, topic, [object_key(file) for file in archive.files])
    answer = watchers.once()
    after, left = len(to_dataframe(store)), _count(server, queue)
    if answer["files_read"] or after != before or left:
        raise WrongError(f"told again: {answer['files_read']} files read, {after - before} new rows, {left} left")
    return {"told_again": answer["files_told"], "read_again": answer["files_read"]}


if __name__ == "__main__":
    run_alone("watch_kills")
