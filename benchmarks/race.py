"""Races all commands that write to one store on S3 against each other, kills some, and checks the store.

Run ``python -m benchmarks.race --rounds 200 --seed 1``. Each round makes a store in a loopback S3 with a small
backfill. Then two backfills, ``add-points``, ``add-variables``, ``update`` and two ``compact`` write to it at once from
the command line. By lot, a command is killed by SIGKILL or SIGTERM, and has a cluster of its own or shares one. A round
fails if a command prints a traceback, ends by a signal that it was not sent, or ends otherwise than with code 0
without having been killed. Then the commands are run again, one after the other: they must not read what is complete,
the store must have the archive's values, and its checksums must be right.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import hrrr_dask
from benchmarks.chaos_checks import WrongError
from benchmarks.measuring import describe_machine
from benchmarks.running import Answer, Row, UnavailableError, make_parser, run_alone, say, working
from hrrr_dask.errors import ConfigError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.testing import GridWindow, expected_field, loopback_s3, write_archive

__all__ = ["Command", "check_ends", "collect", "parser", "readme_rows", "show"]

WINDOW: Final = GridWindow(288, 794, 8, 10)
CYCLES: Final = (0, 6, 12, 18)
LEAD_HOURS: Final = (0, 1)
NAMES: Final = ("temperature_2m", "dewpoint_2m", "wind_gust_surface")
"""Variables; the last one is added."""
CELLS: Final = ((2, 3), (5, 8), (3, 4))
"""Row and column of the points; the last one is added."""
DAYS: Final = 4

KILLED: Final = 0.4
"""Share of the commands that are killed."""
OWN_CLUSTER: Final = 0.2
"""Share of the commands that start a cluster of their own."""
LATEST_START_S: Final = 2.0
LATEST_KILL_S: Final = 8.0
PATIENCE_S: Final = 300.0
"""Time after which a command hangs [s]."""

_CLI: Final = str(Path(sys.executable).with_name("hrrr-dask"))


@dataclass
class Command:
    """A command of a round, and how it ended."""

    name: str
    """What it does."""
    sent: int = 0
    """Signal that it was sent while it ran; 0 for none."""
    code: int = 0
    """Exit code, negative for a signal."""
    said: str = ""
    """What it printed to stderr."""


@dataclass
class _Figures:
    kills: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    rounds: int = 0


def parser() -> argparse.ArgumentParser:
    """Options."""
    made = make_parser("race", __doc__, quick="2 rounds")
    made.add_argument("--rounds", type=int, default=200, help="stores that are raced for (default 200)")
    made.add_argument("--seed", type=int, default=1, help="of all that is drawn by lot (default 1)")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Run all rounds; raises if a command or a store is wrong."""
    figures, began = _Figures(), time.perf_counter()
    with working(None) as work, _cluster_and_bucket() as client:
        archive = write_archive(
            work / "archive",
            start=datetime(2024, 1, 1),
            end=datetime(2024, 1, DAYS, CYCLES[-1]),
            cycles=CYCLES,
            lead_hours=LEAD_HOURS,
            variables=list(NAMES),
            decoys=False,
            window=WINDOW,
        )
        places().to_csv(work / "points.csv", index=False)
        for number in range(2 if given.quick else given.rounds):
            chance = random.Random(f"{given.seed}-{number}")
            try:
                _round(f"s3://race/{number}.zarr", str(archive.root), work / "points.csv", client, chance, figures)
            except WrongError as error:
                raise WrongError(f"round {number} of seed {given.seed}: {error}") from error
            figures.rounds += 1
            say(f"{figures.rounds} rounds, {figures.kills.total()} kills")
    return {
        "about": {"machine": describe_machine(), "seed": given.seed},
        "rounds": figures.rounds,
        "kills": dict(figures.kills.most_common()),
        "commands": dict(figures.ended.most_common()),
        "seconds": time.perf_counter() - began,
    }


def show(answer: Answer) -> None:
    """Print for people."""
    print(f"{answer['rounds']} stores are right; seed {answer['about']['seed']}")
    for what in ("kills", "commands"):
        counts = answer[what]
        print(f"{sum(counts.values()):7,} {what}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}")


def readme_rows(answer: Answer) -> list[Row]:
    """Nothing: this measures no cost."""
    del answer
    return []


def places(n_points: int = len(CELLS)) -> pd.DataFrame:
    """The first points."""
    latitude, longitude = WINDOW.latlon(*np.array(CELLS[:n_points], dtype=float).T)
    return pd.DataFrame({"point_id": [f"p{k}" for k in range(n_points)], "latitude": latitude, "longitude": longitude})


@contextmanager
def _cluster_and_bucket() -> Iterator[Client]:
    """A bucket of a loopback S3, to which the environment points, and a cluster."""
    before = dict(os.environ)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    try:
        with loopback_s3() as server:
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(server.environment())
            server.create_bucket("race")
            with (
                LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address="127.0.0.1:0") as cluster,
                Client(cluster) as client,
            ):
                yield client
    except ConfigError as error:
        raise UnavailableError(str(error)) from error
    finally:
        os.environ.clear()
        os.environ.update(before)


def _round(store: str, source: str, points: Path, client: Client, chance: random.Random, figures: _Figures) -> None:
    settings: dict[str, Any] = {
        "cycles": list(CYCLES),
        "lead_hours": list(LEAD_HOURS),
        "variables": list(NAMES[:-1]),
        "partition_days": 1,
        "axis_start": "2024-01-01",
        "source": [source],
    }
    hrrr_dask.backfill(places(2), "2024-01-01", "2024-01-01", store, client=client, **settings)
    raced = _race(store, points, client, chance)
    for command in raced:
        figures.ended[f"{command.name}: {'killed' if command.sent else command.code}"] += 1
        if command.sent:
            figures.kills[signal.Signals(command.sent).name] += 1
    check_ends(raced)
    _finish(store, client)
    _check_store(store)


def _race(store: str, points: Path, client: Client, chance: random.Random) -> list[Command]:
    """Run all commands at once, kill some, and wait for their ends."""
    days = [f"2024-01-{day + 1:02}" for day in range(DAYS)]
    words = {
        "backfill": ["--start", days[0], "--end", days[2]],
        "other backfill": ["--start", days[1], "--end", days[3]],
        "add-points": ["--points", str(points)],
        "add-variables": ["--variables", NAMES[-1]],
        "update": ["--end", days[-1]],
        "compact": [],
        "other compact": [],
    }
    starts = {name: chance.uniform(0, LATEST_START_S) for name in words}
    address = client.scheduler_info()["address"]
    running: dict[str, tuple[Command, subprocess.Popen[bytes], Any, float]] = {}
    kills: dict[str, tuple[float, int]] = {}
    began = time.monotonic()
    for name in sorted(words, key=starts.__getitem__):
        line = [_CLI, name.removeprefix("other "), "--store", store, *words[name], "--json"]
        if "compact" not in name:
            own = ["local", "--workers", "1"]
            line += ["--cluster", *(own if chance.random() < OWN_CLUSTER else [address])]
        if chance.random() < KILLED:
            at = starts[name] + chance.uniform(0.0, LATEST_KILL_S / (2 if "compact" in name else 1))
            kills[name] = (at, chance.choice([signal.SIGKILL, signal.SIGTERM]))
        time.sleep(max(0.0, began + starts[name] - time.monotonic()))
        said = tempfile.TemporaryFile()  # noqa: SIM115  closed when it is read
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True)
        running[name] = (Command(name), process, said, time.monotonic())
    try:
        for name, (at, number) in sorted(kills.items(), key=lambda kill: kill[1]):
            time.sleep(max(0.0, began + at - time.monotonic()))
            command, process, *_ = running[name]
            if process.poll() is None:
                command.sent = number
                process.send_signal(number)
        return [_ended(*each) for each in running.values()]
    finally:
        for _, process, *_ in running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and what it started


def _ended(command: Command, process: subprocess.Popen[bytes], said: Any, since: float) -> Command:
    try:
        command.code = process.wait(max(1.0, since + PATIENCE_S - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise WrongError(f"{command.name} hangs") from error
    with said:
        said.seek(0)
        command.said = said.read().decode(errors="replace")
    return command


def check_ends(commands: Sequence[Command]) -> None:
    """Refuse tracebacks, signals that nobody sent, and failures of commands that were not killed.

    Raises
    ------
    WrongError
        If there are any; names them.
    """
    for command in commands:
        if "Traceback" in command.said:
            raise WrongError(f"{command.name} prints a traceback:\n{command.said}")
        if command.code < 0 and -command.code != command.sent:
            raise WrongError(f"{command.name} ends by signal {-command.code}:\n{command.said}")
        if command.code and not command.sent:
            raise WrongError(f"{command.name} ends with code {command.code}:\n{command.said}")


def _finish(store: str, client: Client) -> None:
    """Run all commands again, and check that they read only what is not complete."""
    before = to_dataframe(store)
    done = _complete(before)
    hrrr_dask.add_points(store, places(), client=client)
    hrrr_dask.add_variables(store, list(NAMES), client=client)
    hrrr_dask.backfill(None, "2024-01-01", f"2024-01-{DAYS:02}", store, client=client)
    after = to_dataframe(store)
    new = after[~after["entry"].isin(before["entry"].unique())]
    if again := done & set(_keys(new)):
        raise WrongError(f"complete values were read again: {sorted(again)[:5]}")
    report = hrrr_dask.backfill(None, "2024-01-01", f"2024-01-{DAYS:02}", store, client=client)
    if report.files_read or report.gaps:
        raise WrongError(f"after all commands, {report.files_read} files are read and {report.gaps} are gaps")


def _keys(rows: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(zip(rows["init_time"], rows["lead_hours"], rows["variable"], strict=True))


def _complete(rows: pd.DataFrame) -> set[tuple[Any, ...]]:
    """Values of which every point is complete."""
    covered: dict[tuple[Any, ...], set[int]] = {}
    rows = rows[rows["outcome"] == "complete"]
    for key, first, last in zip(_keys(rows), rows["first_point"], rows["n_points"], strict=True):
        covered.setdefault(key, set()).update(range(first, last))
    return {key for key, points in covered.items() if len(points) == len(CELLS)}


def _check_store(store: str) -> None:
    """Compare values with the archive's, and the whole store with its checksums."""
    with hrrr_dask.open_dataset(store) as found:
        if not (found.sizes["init_time"], found.sizes["point"]) == (DAYS * len(CYCLES), len(CELLS)):
            raise WrongError(f"the store has sizes {dict(found.sizes)}")
        if not bool((found["status"] == 1).all()):
            raise WrongError("status is not complete everywhere")
        order = [(found["point_id"].to_numpy().tolist()).index(f"p{k}") for k in range(len(CELLS))]
        for name in NAMES:
            values = found[name].to_numpy()[:, :, order]
            for i, init_time in enumerate(found["init_time"].to_numpy().astype("datetime64[s]").tolist()):
                for lead, hours in enumerate(LEAD_HOURS):
                    truth = expected_field(name, init_time, 60 * hours, WINDOW)[tuple(np.transpose(CELLS))]
                    if not np.array_equal(values[i, lead], truth):
                        raise WrongError(f"{name} of {init_time} + {hours} h: found {values[i, lead]}, wanted {truth}")
    checked = hrrr_dask.verify_checksums(store)
    if checked.outcome != "equal":
        raise WrongError(f"checksums: {checked.counts}, {checked.differences[:5]}, {checked.unchecked[:5]}")


if __name__ == "__main__":
    run_alone("race")
