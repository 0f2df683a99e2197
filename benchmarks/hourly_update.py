"""Measures one hourly update of a store on S3: bytes written over bytes of new values, requests and seconds.

Run ``python -m benchmarks.hourly_update``. Values are synthetic and go directly to ``write_partition``: only the store
is measured. The server is moto or a Ceph gateway on this machine, behind a proxy that delays each request.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.counting import run_proxy
from benchmarks.gateway import Gateway, run_gateway
from benchmarks.measuring import describe_machine, describe_versions
from benchmarks.running import Answer, Row, make_parser, run_alone, say
from hrrr_dask.testing import LoopbackS3, loopback_s3

HERE: Final = Path(__file__).parents[1]
CHILD: Final = Path(__file__).with_name("hourly_child.py")
BUCKET: Final = "benchmark"

FILLS: Final = {"half full": 0.5, "full": 1.0}
"""Part of the partition that is written after the update: the average, and the most."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A layout and a way to write it."""

    name: str
    """For the table."""
    partition_days: int = 0
    """Days of a partition; 0 for the layout rule of the checkout [d]."""
    at_once: int = 0
    """Shards merged concurrently; 0 for the checkout's own number."""
    checkout: Path = HERE
    """Directory that holds the package."""


SERVERS: Final[dict[str, tuple[str, Callable[[], AbstractContextManager[LoopbackS3 | Gateway]]]]] = {
    "moto": ("moto in one process", loopback_s3),
    "gateway": ("a Ceph gateway, objects in RAM", run_gateway),
}
"""Name to its description and what starts it."""

BEFORE: Final = Contender("30 days, one shard after the other", partition_days=30, at_once=1)
CONTENDERS: Final = (BEFORE, Contender("30 days, concurrent", partition_days=30), Contender("default"))


Update = dict[str, Any]
"""What a child says of one update: ``layout``, ``seconds``, ``bytes_written``, ``bytes_new``; and ``requests``."""


def run_child(contender: Contender, server: LoopbackS3 | Gateway, n_points: int, **more: Any) -> Update:
    """Run a child with the package of the contender's checkout."""
    prefix = f"{contender.name}-{n_points}".replace(" ", "-").replace(",", "")
    given = {
        "url": f"s3://{BUCKET}/{prefix}",
        "endpoint": server.endpoint,
        "n_points": n_points,
        "partition_days": contender.partition_days,
        "at_once": contender.at_once,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= server.environment() | {"PYTHONPATH": str(contender.checkout)}
    del environment["AWS_ENDPOINT_URL"]  # the store's own option says which way
    command = [sys.executable, "-P", "-W", "ignore", str(CHILD), json.dumps(given | more)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    answer: Update = json.loads(done.stdout)
    return answer


def measure(
    contenders: Sequence[Contender],
    server: LoopbackS3 | Gateway,
    n_points: int,
    n_leads: int,
    latency_ms: float,
    repeats: int,
) -> dict[str, dict[str, list[Update]]]:
    """Fill the stores of all contenders and update them in turn, with each filling of :data:`FILLS`."""
    found: dict[str, dict[str, list[Update]]] = {one.name: {fill: [] for fill in FILLS} for one in contenders}
    filled = 0.0
    for fill, share in FILLS.items():
        about = {"n_leads": n_leads, "filled": filled, "share": share}
        for contender in contenders:
            run_child(contender, server, n_points, fill=True, before=repeats, **about)
        for repeat in range(repeats):
            for contender in contenders:
                with run_proxy(server.port, latency_ms / 1000) as proxy:
                    way = {"through": proxy.endpoint, "fill": False, "before": repeats - repeat}
                    one = run_child(contender, server, n_points, **way, **about)
                    one["requests"] = proxy.counts().requests
                found[contender.name][fill].append(one)
                say(f"{n_points:,} points, {contender.name}, {fill}: {one['seconds']:.2f} s")
        filled = share
    return found


def compare(
    contenders: Sequence[Contender],
    sizes: Sequence[int],
    n_leads: int,
    latency_ms: float,
    repeats: int,
    kind: str = "moto",
) -> Answer:
    """Measure all contenders at all numbers of points."""
    found: dict[str, Any] = {}
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server logs each request
    description, start = SERVERS[kind]
    with start() as server:
        server.create_bucket(BUCKET)
        for n_points in sizes:
            every = measure(contenders, server, n_points, n_leads, latency_ms, repeats)
            found[str(n_points)] = {
                name: {fill: _medians(updates) for fill, updates in fills.items()} for name, fills in every.items()
            }
    about = {
        "values": f"one run of {n_leads} lead times and the default variables, compressing about as real ones do",
        "server": f"{description}, {latency_ms:g} ms added to each request",
        "repeats": f"{repeats} consecutive runs, the contenders in turn; medians",
        "versions": describe_versions(("hrrr-dask", "zarr", "obstore", "numpy")),
        "machine": describe_machine(),
    }
    return {"about": about, "first": contenders[0].name, "points": found}


def _medians(updates: Sequence[Update]) -> Update:
    keys = ("seconds", "requests", "bytes_written", "bytes_new")
    return {"layout": updates[0]["layout"]} | {key: statistics.median(one[key] for one in updates) for key in keys}


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("hourly_update", __doc__, repeats=3, quick="10 points, 2 lead times")
    made.add_argument("--points", type=int, nargs="+", default=[100, 1_000], metavar="N", help="default 100 1000")
    made.add_argument("--leads", type=int, default=12, metavar="N", help="lead times (default 12)")
    made.add_argument("--latency-ms", type=float, default=30.0, metavar="N", help="of each request (default 30)")
    made.add_argument("--server", choices=tuple(SERVERS), default="moto", help="S3 on this machine (default moto)")
    made.add_argument("--checkout", type=Path, metavar="DIR", help="also the default layout of another checkout")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    contenders = list(CONTENDERS)
    if given.checkout:
        contenders.insert(0, Contender("default of the other checkout", checkout=given.checkout.resolve()))
    sizes, n_leads = ([10], 2) if given.quick else (given.points, given.leads)
    return compare(contenders, sizes, n_leads, given.latency_ms, given.repeats, given.server)


def show(answer: Answer) -> None:
    """Print for people."""
    for name, text in answer["about"].items():
        print(f"{name:<10} {text}")
    print(f"\nratios to {answer['first']!r}")
    print(f"{'points':>8}  {'layout':<36}{'days':>5} {'partition':<10}", end="")
    print(f"{'MB written':>11}{'over new':>9}{'ratio':>7}{'requests':>9}{'s':>7}{'ratio':>7}")
    for n_points, rows in answer["points"].items():
        for name, fills in rows.items():
            for fill, row in fills.items():
                first = rows[answer["first"]][fill]
                print(f"{int(n_points):8,}  {name:<36}{row['layout']['partition_days']:5} {fill:<10}", end="")
                print(f"{row['bytes_written'] / 1e6:11.2f}{row['bytes_written'] / row['bytes_new']:9.1f}", end="")
                print(f"{row['bytes_written'] / first['bytes_written']:7.2f}{row['requests']:9.0f}", end="")
                print(f"{row['seconds']:7.2f}{row['seconds'] / first['seconds']:7.2f}")


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: bytes and seconds of an update before and now."""
    return [
        Row(
            f"an hourly update of {int(n_points):,} points",
            answer["first"],
            f"{rows[answer['first']]['half full'][key] / rows['default']['half full'][key]:.1f} x the {what}",
        )
        for n_points, rows in answer["points"].items()
        for key, what in (("bytes_written", "bytes"), ("seconds", "time"))
    ]


if __name__ == "__main__":
    run_alone("hourly_update")
