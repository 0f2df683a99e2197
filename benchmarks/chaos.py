"""Fills stores through failing servers and killed processes, and compares them with undisturbed ones.

Run ``python -m benchmarks.chaos --faults 1000 --kills 200 --seed 1``. Three servers of one archive inject random
faults. Rounds follow until enough faults were served and enough processes killed. Each round fills a new store by
commands that are killed at random places and times, and by one that is not. Then the store must be bit for bit that
of an undisturbed run on the healthy archive, except files that no server ever had: those are NaN with a reason. The
ledger must list every attempt, and ``status`` must match the ledger.

Most kills are of processes without a cluster, forked from one that has imported everything; some are of a real
scheduler, real workers and the real command.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import hrrr_dask
from benchmarks.chaos_case import FETCH, Case, Sources, prepare, served_badly
from benchmarks.chaos_checks import Undisturbed, WrongError, check_store
from benchmarks.chaos_child import Answer as Came
from benchmarks.chaos_child import Kill, Task, Verb, Where
from benchmarks.chaos_cluster import KINDS, Cluster
from benchmarks.measuring import describe_machine
from benchmarks.running import Answer, Row, make_parser, run_alone, say, working
from benchmarks.turns import Player

__all__ = ["collect", "parser", "readme_rows", "show"]

ROUND_FAULTS: Final = (0.05, 0.5)
"""Faults of one server in one round, as a share of its files and inventories: few, so that most of what was committed
is not read again, or many.
"""

PLACES: Final[tuple[Where, ...]] = ("write", "write", "written", "commit", "committed", "file", "moment")
"""Places where processes are killed, weighted by repetition."""

CALM_RUNS: Final = 25
"""Maximum number of undisturbed runs until only lost files are missing."""

CLUSTER_DELAY_S: Final = 0.03
"""Response time of servers that a cluster reads, so that there is time for kills [s]."""


@dataclass
class Figures:
    """Counts of everything that happened."""

    faults: Counter[str] = field(default_factory=Counter)
    """Faults served, by mode."""
    kills: Counter[str] = field(default_factory=Counter)
    """Processes killed, by place or kind."""
    ended: Counter[str] = field(default_factory=Counter)
    """Commands, by how they ended."""
    requests: int = 0
    """Requests answered by the servers."""
    stores: int = 0
    """Stores filled, checked and found correct."""
    lost_files: int = 0
    """Files that no server had, over all stores."""

    def add(self, sources: Sources) -> None:
        """Add the counts of a round."""
        self.faults += sources.served
        self.requests += sources.requests
        self.lost_files += len(sources.lost)
        self.stores += 1


def parser() -> argparse.ArgumentParser:
    """Options."""
    made = make_parser("chaos", __doc__, quick="20 faults, 5 kills, 24 files, no cluster")
    made.add_argument("--faults", type=int, default=1000, help="wrong answers, at least (default 1000)")
    made.add_argument("--kills", type=int, default=200, help="processes killed, at least (default 200)")
    made.add_argument("--clusters", type=int, metavar="N", help="of these, of real clusters (default: a tenth)")
    made.add_argument("--files", type=int, default=240, help="of the archive (default 240)")
    made.add_argument("--seed", type=int, default=1, help="of all that is drawn by lot (default 1)")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Run all rounds; raises if any store is wrong."""
    if given.quick:
        given.faults, given.kills, given.clusters, given.files = 20, 5, 0, 24
    clusters = given.kills // 10 if given.clusters is None else given.clusters
    chance, figures, began = random.Random(given.seed), Figures(), time.perf_counter()
    with working(None) as work:
        case = prepare(work, given.files)
        game = _Game(case, work, chance, figures)
        if clusters:
            game.cluster_rounds(clusters)
        with Player("benchmarks.chaos_child.prepare", {}) as player:
            while figures.faults.total() < given.faults or figures.kills.total() < given.kills:
                game.round(player)
                say(f"{figures.stores} stores, {figures.kills.total()} kills, {figures.faults.total()} faults")
    return {
        "about": {"machine": describe_machine(), "seed": given.seed, "files": len(case.archive.files)},
        "faults": dict(figures.faults.most_common()),
        "kills": dict(figures.kills.most_common()),
        "commands": dict(figures.ended.most_common()),
        "requests": figures.requests,
        "stores": figures.stores,
        "lost_files": figures.lost_files,
        "seconds": time.perf_counter() - began,
    }


def show(answer: Answer) -> None:
    """Print for people."""
    about = answer["about"]
    print(f"{answer['stores']} stores of {about['files']} files each are right; seed {about['seed']}")
    for what in ("faults", "kills", "commands"):
        counts = answer[what]
        print(f"{sum(counts.values()):7,} {what}: {', '.join(f'{name} {count:,}' for name, count in counts.items())}")
    print(f"{answer['requests']:7,} requests; {answer['lost_files']} files that no server had")
    print(f"{answer['seconds']:7.0f} s on {about['machine']}")


def readme_rows(answer: Answer) -> list[Row]:
    """No rows: the figures are no ratios."""
    del answer
    return []


class _Game:
    def __init__(self, case: Case, work: Path, chance: random.Random, figures: Figures) -> None:
        self._case = case
        self._work = work
        self._chance = chance
        self._figures = figures
        self._undisturbed: Undisturbed | None = None

    def _draw_faults(self) -> int:
        return round(self._chance.choice(ROUND_FAULTS) * 2 * len(self._case.archive.files))

    def round(self, player: Player) -> None:
        """Fill a store by processes that are killed, then by undisturbed ones, and check it."""
        undisturbed = self._whole(player)
        store, log = self._new_store()
        with served_badly(self._case, self._draw_faults(), self._chance.randrange(1 << 30)) as sources:
            while True:
                came = self._run(player, store, sources, log, kill=self._draw_kill(made=(store / "zarr.json").exists()))
                if came.outcome in ("done", "done-with-gaps"):
                    break
            self._calm(player, store, sources, log)
            self._figures.add(sources)
            self._check(store, undisturbed, sources, log)

    def cluster_rounds(self, n_kills: int) -> None:
        """Fill stores by real clusters until enough was killed."""
        environment = {
            f"DASK_HRRR__FETCH__{name.upper().replace('-', '_')}": str(value) for name, value in FETCH.items()
        }
        environment["DASK_HRRR__ENGINE"] = "eccodes"
        with Player("benchmarks.chaos_child.prepare", {}) as player, Cluster(self._work, environment) as cluster:
            undisturbed = self._whole(player)
            while self._figures.kills.total() < n_kills:
                store, log = self._new_store()
                seed = self._chance.randrange(1 << 30)
                with served_badly(self._case, self._draw_faults(), seed, CLUSTER_DELAY_S) as sources:
                    complete = False
                    while not complete and self._figures.kills.total() < n_kills:
                        complete = self._command(cluster, store, sources)
                    self._calm(player, store, sources, log)
                    self._figures.add(sources)
                    self._check(store, undisturbed, sources, None)
                say(f"{self._figures.stores} stores, {self._figures.kills.total()} kills by clusters")

    def _command(self, cluster: Cluster, store: Path, sources: Sources) -> bool:
        """Run one command with a cluster; returns whether it completed."""
        kills: list[str] = []
        while not kills or kills[-1] == "worker":
            kills.append(self._chance.choice(KINDS))
        ended = cluster.run(store, self._settings(store, sources), kills, self._chance)
        self._figures.kills += Counter(f"{kind} of a cluster" for kind in ended.done)
        self._figures.ended[f"exit {ended.code}"] += 1
        if "Traceback" in ended.said or ended.code not in (0, 1, 3, -9, -15):
            raise WrongError(
                f"after {', '.join(ended.done) or 'nothing'} the command ended with {ended.code}:\n{ended.said}"
            )
        return ended.code in (0, 3)

    def _whole(self, player: Player) -> Undisturbed:
        if self._undisturbed is None:
            store, log = self._new_store()
            settings = self._case.settings | {"store": str(store), "source": [str(self._case.archive.root)]}
            came: Came = player.ask(Task("backfill", settings, None, log, 0))
            if came.outcome != "done":
                raise WrongError(f"an undisturbed run is {came.outcome}: {came.text}")
            self._undisturbed = Undisturbed.of(store)
        return self._undisturbed

    def _new_store(self) -> tuple[Path, Path]:
        number = len(list(self._work.glob("*.log")))
        log = self._work / f"{number}.log"
        log.touch()
        return self._work / f"{number}.zarr", log

    def _settings(self, store: Path, sources: Sources) -> dict[str, Any]:
        """Settings of a backfill with a random order of the sources, and randomly with retries of gaps."""
        order = self._chance.sample(sources.urls, len(sources.urls))
        return self._case.settings | {
            "store": str(store),
            "source": order,
            "retry_gaps": self._chance.random() < 0.5,
        }

    def _run(self, player: Player, store: Path, sources: Sources, log: Path, kill: Kill | None) -> Came:
        compact = kill is not None and (store / "zarr.json").exists() and self._chance.random() < 0.05
        settings: dict[str, Any] = {"store": str(store)} if compact else self._settings(store, sources)
        if kill is None:
            settings["retry_gaps"] = True
        seed = self._chance.randrange(1 << 30)
        verb: Verb = "compact" if compact else "backfill"
        came: Came = player.ask(Task(verb, settings, kill, log, seed))
        if not came.killed and came.outcome not in ("done", "done-with-gaps", "compacted"):
            raise WrongError(f"a process that was to be killed at {kill} ended otherwise: {came.outcome}: {came.text}")
        if came.killed:
            assert kill is not None, "only those are killed that are to be"
            self._figures.kills[f"{verb}, {kill.where}"] += 1
        self._figures.ended["killed" if came.killed else came.outcome] += 1
        return came

    def _draw_kill(self, *, made: bool) -> Kill:
        where = self._chance.choice(PLACES)
        if where == "moment":
            return Kill(where, self._chance.uniform(0.02, 0.6))
        within = {"write": 10 if made else 70, "written": 10 if made else 70, "commit": 2, "committed": 2, "file": 15}
        return Kill(where, self._chance.randrange(within[where]))

    def _calm(self, player: Player, store: Path, sources: Sources, log: Path) -> None:
        """Run without kills until only lost files are missing."""
        for _ in range(CALM_RUNS):
            came = self._run(player, store, sources, log, kill=None)
            if came.outcome == "done" or (came.outcome == "done-with-gaps" and self._only_lost(store, sources)):
                return
        raise WrongError(f"after {CALM_RUNS} runs the store is still {came.outcome}: {came.text}")

    def _only_lost(self, store: Path, sources: Sources) -> bool:
        told = hrrr_dask.status(str(store))
        return told.files_with_gaps + told.files_to_do <= len(sources.lost)

    def _check(self, store: Path, undisturbed: Undisturbed, sources: Sources, log: Path | None) -> None:
        try:
            check_store(store, undisturbed, sources.lost, log)
        except WrongError as error:
            raise WrongError(f"store {self._figures.stores} is wrong: {error}") from error


if __name__ == "__main__":
    run_alone("chaos")
