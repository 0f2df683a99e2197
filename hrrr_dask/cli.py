"""``hrrr-dask``: parse, call the API, print. stdout is the answer, stderr is talk."""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click
from rich.console import Console

import hrrr_dask
from hrrr_dask.errors import ConfigError, HrrrDaskError

__all__ = ["cli", "main"]

_Command = Callable[..., Any]


class _Group(click.Group):
    """Turns our errors into one screen and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except HrrrDaskError as error:
            _say_failure(ctx, error.code, str(error))
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            _say_failure(ctx, "usage", error.format_message())
            raise
        except KeyboardInterrupt:
            _say_failure(ctx, "interrupted", "stopped before anything was read")
            click.echo("stopped; the same command again does the rest", err=True)
            ctx.exit(1)


def _say_failure(ctx: click.Context, code: str, text: str) -> None:
    """Stdout is one JSON document whatever happens, when JSON was asked for."""
    if ctx.meta.get("json") or "--json" in sys.argv:
        click.echo(json.dumps({"outcome": "failed", "error": {"code": code, "text": text}}))


@click.group("hrrr", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(hrrr_dask.__version__, prog_name="hrrr-dask")
def cli() -> None:
    """Point series out of the whole HRRR archive, through Dask, into one Zarr store.

    Exit codes: 0 done, 1 failed, 2 usage, 3 done with gaps. A command that was killed or interrupted does the rest
    when it is given again.
    """


def _selection(command: _Command) -> _Command:
    options = (
        click.option("--points", required=True, metavar="FILE", help="CSV, lat,lon lines or GeoJSON."),
        click.option(
            "--start", required=True, metavar="TIME", help="First init time, UTC: 2024-01-31 or 2024-01-31T06."
        ),
        click.option(
            "--end", required=True, metavar="TIME", help="Last init time, included; a date means its last run."
        ),
        click.option(
            "--cycles", metavar="HOURS", help="Hours at which runs start, such as 0,6,12,18.  [default: 0-23]"
        ),
        click.option("--lead-hours", metavar="HOURS", help="Lead times, such as 0-18 or 1,24.  [default: 0-18]"),
        click.option(
            "--variables",
            metavar="NAMES",
            help="Names, or selectors ELEMENT:LEVEL[:WINDOW], or NAME=SELECTOR, with commas.  [default: the eleven]",
        ),
        click.option("--product", help="sfc, prs, nat or subh.  [default: sfc]"),
        click.option("--domain", help="conus or alaska.  [default: conus]"),
        click.option("--method", help="nearest or bilinear.  [default: nearest]"),
        click.option(
            "--source",
            multiple=True,
            help="aws, google, azure, nomads, a URL or a directory laid out like the bucket; several times: the order "
            "of fail-over.  [default: aws]",
        ),
        click.option("--source-option", multiple=True, metavar="KEY=VALUE", help="Such as endpoint=…, anonymous=true."),
        click.option("--partition-days", type=int, help="Days of one shard; by default chosen from the sizes."),
        click.option("--memory-limit-mb", type=int, help="Refuse a plan that needs more a worker.  [default: 4096]"),
    )
    return _with(options, command)


def _store_options(command: _Command) -> _Command:
    options = (
        click.option(
            "--store", required=True, metavar="URL", help="Directory or s3://bucket/prefix of the Zarr store."
        ),
        _store_option(),
    )
    return _with(options, command)


def _store_option() -> _Command:
    return click.option(
        "--store-option",
        multiple=True,
        metavar="KEY=VALUE",
        help="Such as endpoint=http://localhost:9000. Credentials come from the environment.",
    )


def _json_option(command: _Command) -> _Command:
    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> bool:
        ctx.meta["json"] = value
        return value

    return click.option("--json", "as_json", is_flag=True, callback=remember, help="Print JSON on stdout.")(command)


def _with(options: tuple[_Command, ...], command: _Command) -> _Command:
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(options), command)


@cli.command("plan")
@_selection
@click.option("--store", default="", metavar="URL", help="A store to continue; what it has is not planned again.")
@_store_option()
@_json_option
def plan_command(*, as_json: bool, **given: Any) -> None:
    """Say what would be done; nothing is."""
    from hrrr_dask.api import plan  # noqa: PLC0415  --help should not wait for Dask
    from hrrr_dask.display import plan_table  # noqa: PLC0415

    made = plan(**_settings(given))
    if as_json:
        click.echo(_json(_plan_answer(made)))
    else:
        Console().print(plan_table(made))


@cli.command("backfill")
@_selection
@_store_options
@click.option("--cluster", metavar="WHERE", help="local, or a scheduler's address tcp://HOST:8786.  [default: local]")
@click.option("--workers", type=int, help="Processes of a local cluster.  [default: one a core]")
@click.option("--engine", help="Decoder: eccodes or cfgrib.  [default: eccodes]")
@click.option("--retry-gaps", is_flag=True, help="Read files with gaps again, however old.")
@_json_option
def backfill_command(*, as_json: bool, **given: Any) -> None:
    """Read what the store does not have yet, and write it."""
    from hrrr_dask.api import backfill  # noqa: PLC0415  --help should not wait for Dask
    from hrrr_dask.display import live_progress, report_table  # noqa: PLC0415

    with live_progress(Console(stderr=True)) as show:
        report = backfill(show=show, **_settings(given))
    if as_json:
        click.echo(_json({"outcome": report.outcome, **dataclasses.asdict(report)}))
    else:
        Console().print(report_table(report))
    click.get_current_context().exit(report.exit_code)


@cli.command("status")
@_store_options
@_json_option
def status_command(*, store: str, store_option: tuple[str, ...], as_json: bool) -> None:
    """Say what a store holds: done, to do, gaps by reason."""
    from hrrr_dask.api import status  # noqa: PLC0415  --help should not wait for Dask
    from hrrr_dask.display import status_table  # noqa: PLC0415

    found = status(store, **_pairs("--store-option", store_option))
    if as_json:
        click.echo(_json(dataclasses.asdict(found)))
    else:
        Console().print(status_table(found))


@cli.command("demo")
@click.argument("directory", default="hrrr-demo", type=click.Path(file_okay=False))
def demo_command(directory: str) -> None:
    """Do the main job offline, in DIRECTORY (hrrr-demo): a synthetic archive, a backfill, a Zarr store, a plot."""
    from hrrr_dask.demo import run_demo  # noqa: PLC0415  --help should not wait for Dask
    from hrrr_dask.display import live_progress, report_table  # noqa: PLC0415

    talk = Console(stderr=True)
    with live_progress(talk) as show:
        result = run_demo(directory, show=show, say=talk.print)
    Console().print(report_table(result.report))
    click.echo(f"\nstore  {result.store}\nplot   {result.plot}\n")
    code = f"import hrrr_dask; print(hrrr_dask.open_dataset({str(result.store)!r}))"
    click.echo(f'open it with   {sys.executable} -c "{code}"')
    click.get_current_context().exit(result.report.exit_code)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="hrrr-dask")


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Options as the API takes them: those not given are left to the configuration."""
    given = {key: value for key, value in given.items() if value is not None and value != ()}
    for key in ("source_option", "store_option"):
        if key in given:
            given[f"{key}s"] = _pairs("--" + key.replace("_", "-"), given.pop(key))
    if "source" in given:
        given["source"] = list(given["source"])
    return given


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise ConfigError(f"{option} {key!r} is not KEY=VALUE, such as endpoint=http://localhost:9000")
        pairs[key.strip()] = value.strip()
    return pairs


def _plan_answer(made: Any) -> dict[str, Any]:
    return {
        "start": made.period.start,
        "end": made.period.end,
        "runs": made.n_runs,
        "not_started": made.not_started,
        "files": made.n_files,
        "files_done": made.n_done,
        "lead_hours_not_reached": made.skipped,
        "variables_never_there": made.absent,
        "points": made.n_points,
        "variables": {variable.name: str(variable.selector) for variable in made.selection.variables},
        "partitions": made.n_partitions,
        "layout": dataclasses.asdict(made.layout),
        "partition_bytes": made.partition_bytes,
        "bytes_to_read": made.bytes_to_read,
        "requests": made.requests,
        "worker_bytes": made.worker_bytes,
    }


def _json(answer: dict[str, Any]) -> str:
    def spell(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    return json.dumps(answer, default=spell)
