"""Options that several commands share, and their conversion to settings of the API."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from hrrr_dask.config.kubernetes import nest_options
from hrrr_dask.errors import ConfigError

__all__ = [
    "cluster_options",
    "iceberg_options",
    "json_option",
    "pairs",
    "period_options",
    "queue_options",
    "selection_options",
    "settings",
    "source_options",
    "store_option",
    "store_options",
]

_Command = Callable[..., Any]


def selection_options(command: _Command) -> _Command:
    """Options of what a store contains, fixed when it is made."""
    options = (
        click.option(
            "--points",
            metavar="FILE",
            help="CSV, lat,lon lines or GeoJSON; optional for an existing store.",
        ),
        click.option(
            "--cycles", metavar="HOURS", help="Hours at which runs start, such as 0,12 or 0-23/3.  [default: 0-23]"
        ),
        click.option("--lead-hours", metavar="HOURS", help="Lead times, such as 1,24 or 0-48/3.  [default: 0-18]"),
        click.option("--lead-times", metavar="DURATIONS", help="The same as durations, such as 15min,1h or 0h-6h."),
        click.option(
            "--variables",
            metavar="NAMES",
            help="Names, selectors ELEMENT:LEVEL[:WINDOW], or NAME=SELECTOR, with commas.  [default: eleven names]",
        ),
        click.option("--product", help="sfc, prs, nat or subh.  [default: sfc]"),
        click.option("--domain", help="conus or alaska.  [default: conus]"),
        click.option("--method", help="nearest or bilinear.  [default: nearest]"),
        click.option("--axis-start", metavar="DATE", help="First day of the init_time axis.  [default: 2014-07-30]"),
        click.option("--partition-days", type=int, help="Days of one shard; by default chosen by the layout rule."),
        click.option("--shard-points", type=int, help="Points of one shard; by default chosen by the layout rule."),
        click.option(
            "--chunk-points", type=int, help="Points of one inner chunk; by default chosen by the layout rule."
        ),
        click.option(
            "--memory-limit-mb",
            type=int,
            help="Memory of a worker: steps are chosen to fit, and a plan that needs more is refused.  [default: 4096]",
        ),
    )
    return _with(options, command)


def period_options(command: _Command) -> _Command:
    """Options of the period."""
    options = (
        click.option(
            "--start", required=True, metavar="TIME", help="First init time, UTC: 2024-01-31 or 2024-01-31T06."
        ),
        click.option(
            "--end",
            required=True,
            metavar="TIME",
            help="Last init time, included; a date means the last run of that day.",
        ),
    )
    return _with(options, command)


def source_options(command: _Command) -> _Command:
    """Options of the sources."""
    options = (
        click.option(
            "--source",
            multiple=True,
            help="aws, google, azure, nomads, a URL, or a directory laid out like NOAA's bucket. Give it several "
            "times for fail-over, in that order; an existing store has its own.  [default: aws]",
        ),
        click.option("--source-option", multiple=True, metavar="KEY=VALUE", help="Such as endpoint=…, anonymous=true."),
    )
    return _with(options, command)


def queue_options(command: _Command) -> _Command:
    """Options of the queue and of how it is watched."""
    options = (
        click.option(
            "--queue", required=True, metavar="URL", help="SQS queue, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME."
        ),
        click.option(
            "--queue-option",
            multiple=True,
            metavar="KEY=VALUE",
            help="endpoint=…, region=…, or visibility=120s: when the messages of a killed watcher are received again. "
            "Credentials come from the environment.",
        ),
        click.option(
            "--batch-wait",
            metavar="DURATION",
            help="Longest wait for further files of a run, such as 60s.  [default: 60s]",
        ),
        click.option(
            "--for", "run_for", metavar="DURATION", help="End after this time, such as 10min.  [default: never]"
        ),
        click.option("--once", is_flag=True, help="End when the queue is empty."),
        click.option(
            "--sweep",
            metavar="DURATION",
            help="Interval at which an update reads what no message told of; 0 for never.  [default: 1h]",
        ),
    )
    return _with(options, command)


def store_options(command: _Command) -> _Command:
    """Options of the store that is read or written."""
    url = click.option(
        "--store", required=True, metavar="URL", help="Directory or s3://bucket/prefix of the Zarr store."
    )
    return url(store_option(command))


def store_option(command: _Command) -> _Command:
    """Option of the store's endpoint."""
    return click.option(
        "--store-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="Such as endpoint=http://localhost:9000. Credentials come from the environment.",
    )(command)


def cluster_options(command: _Command) -> _Command:
    """Options of the cluster and of the workers."""
    options = (
        click.option(
            "--cluster",
            metavar="WHERE",
            help="local, kubernetes, a scheduler's address tcp://HOST:8786, or its file PATH.json.  [default: local]",
        ),
        click.option("--workers", type=int, help="Processes, or pods.  [default: one a core of this machine]"),
        click.option("--adapt", metavar="MIN:MAX", help="Adapt the number of workers to the work, from MIN to MAX."),
        click.option(
            "--kubernetes-option",
            multiple=True,
            metavar="KEY=VALUE",
            help="Such as image=…, memory=8Gi, env.NAME=VALUE, secrets=NAME; Dask's YAML files can have more.",
        ),
        click.option("--dry-run", is_flag=True, help="With --cluster kubernetes: only print the manifest."),
        click.option(
            "--worker-timeout-s",
            type=float,
            metavar="SECONDS",
            help="Stop if no worker can work for so long; 0 for never.  [default: 600]",
        ),
        click.option("--threads", type=int, help="Files that each process reads concurrently.  [default: 4]"),
        click.option("--engine", help="Decoding engine: auto, numba, eccodes or cfgrib.  [default: auto]"),
        click.option(
            "--files-per-task", metavar="N", help="Files that one task reads; auto: one, or more on large clusters."
        ),
    )
    return _with(options, command)


def iceberg_options(command: _Command) -> _Command:
    """Options of a table of Iceberg."""
    options = (
        click.option("--table", metavar="NAME", help="Name of the Iceberg table.  [default: hrrr.forecasts]"),
        click.option(
            "--catalog",
            multiple=True,
            metavar="KEY=VALUE",
            help="Property of the Iceberg catalogue, such as uri=… or type=glue, or the name=… of a configured one.",
        ),
    )
    return _with(options, command)


def json_option(command: _Command) -> _Command:
    """Option to print JSON."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        ctx.meta["json"] = value
        return value

    return click.option("--json", "as_json", is_flag=True, callback=remember, help="Print JSON on stdout.")(command)


def settings(given: dict[str, Any]) -> dict[str, Any]:
    """Convert options to settings; options that were not given are left to the configuration."""
    given = {key: value for key, value in given.items() if value is not None and value != ()}
    for key in ("source_option", "store_option"):
        if key in given:
            given[f"{key}s"] = pairs("--" + key.replace("_", "-"), given.pop(key))
    if "kubernetes_option" in given:
        given["kubernetes"] = nest_options(pairs("--kubernetes-option", given.pop("kubernetes_option")))
    if "source" in given:
        given["source"] = list(given["source"])
    return given


def pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    """Parse ``KEY=VALUE`` texts.

    Raises
    ------
    ConfigError
        If a text has another form.
    """
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"{option} {key!r} is not KEY=VALUE, such as endpoint=http://localhost:9000")
        found[key.strip()] = value.strip()
    return found


def _with(options: tuple[_Command, ...], command: _Command) -> _Command:
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)
