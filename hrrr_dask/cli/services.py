"""The commands that keep a store of use to others: watch a queue, export tables, check the store."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

import click
from rich.console import Console

from hrrr_dask.cli.group import cli, run, to_json
from hrrr_dask.cli.noted import note_report
from hrrr_dask.cli.notify import notify_option, tell_change
from hrrr_dask.cli.options import (
    cluster_options,
    iceberg_options,
    json_option,
    pairs,
    queue_options,
    settings,
    source_options,
    store_options,
)
from hrrr_dask.telemetry.logs import is_configured

__all__ = ["check_command", "export_command", "watch_command"]


@cli.command("watch")
@store_options
@queue_options
@source_options
@cluster_options
@notify_option
@json_option
def watch_command(*, as_json: bool, **given: Any) -> None:
    """Read files as messages of an SQS queue tell of them. A signal commits what is read and ends it, with exit code 0.

    A message is deleted after the values of its file are committed. Any number of watchers can share a queue.
    """
    from hrrr_dask.events.watch import watch  # noqa: PLC0415  --help should not wait for Dask

    if not is_configured():
        given["say"] = lambda line: click.echo(f"{datetime.now():%Y-%m-%dT%H:%M:%S} {line}", err=True)
    given["on_change"] = lambda text, well: tell_change(text, well=well)
    given["queue_options"] = pairs("--queue-option", given.pop("queue_option"))
    run(watch, settings(given), as_json=as_json, progress=None)


@cli.command("export")
@store_options
@click.option("--to", required=True, metavar="URL", help="Directory or s3://bucket/prefix; for duckdb, a file.")
@click.option("--to-option", multiple=True, metavar="KEY=VALUE", help="As --store-option, for --to.")
@click.option(
    "--format", type=click.Choice(["parquet", "duckdb", "iceberg"]), default="parquet", show_default=True, help="Kind."
)
@click.option(
    "--layout",
    type=click.Choice(["long", "wide"]),
    default="long",
    show_default=True,
    help="A row for each value, or a column for each variable.",
)
@click.option("--start", metavar="DATE", help="First day of init times, UTC.  [default: the store's first]")
@click.option("--end", metavar="DATE", help="Last day, included.  [default: the store's last]")
@click.option("--variables", metavar="NAMES", help="Variables of the store, with commas.  [default: all]")
@click.option("--with-gaps", is_flag=True, help="Make a row of each gap, with its reason.")
@iceberg_options
@cluster_options
@notify_option
@json_option
def export_command(*, as_json: bool, **given: Any) -> None:
    """Export a store as a table for analysts and warehouses, or update one: only days that changed are written."""
    from hrrr_dask.tables.export import export  # noqa: PLC0415  --help should not wait for Dask

    given["to_options"] = pairs("--to-option", given.pop("to_option")) or None
    given["catalog"] = pairs("--catalog", given["catalog"]) or None
    run(export, settings(given), as_json=as_json, counted="days")


@cli.command("check")
@store_options
@click.option(
    "--max-age",
    metavar="DURATION",
    help="Maximum time since the init time of the newest run with values, such as 3h, or none.  [default: as an update "
    "every hour keeps it, 3h for hourly runs]",
)
@click.option("--max-gaps", metavar="P%", help="Maximum share of missing values, or none.  [default: 1%]")
@click.option("--max-flags", metavar="P%", help="Maximum share of fields with an implausible value.  [default: none]")
@click.option("--period", metavar="DURATION", help="Recent period for gaps, flags and checksums.  [default: 7d]")
@click.option("--start", metavar="TIME", help="First init time to check, instead of --period.")
@click.option("--end", metavar="TIME", help="Last init time to check, included.")
@click.option(
    "--checksums",
    metavar="N|P%",
    help="Arrays (a variable in a partition) compared with their checksums.  [default: 1]",
)
@click.option("--writable", is_flag=True, help="Write and delete a small object, too.")
@notify_option
@json_option
def check_command(*, as_json: bool, **given: Any) -> None:
    """Check that a store is readable, up to date and complete, by a few requests. For cron, Nagios and Kubernetes.

    The first line is a summary. Exit codes: 0 all ok, 3 a check failed, 1 the store cannot be read, 2 usage.
    """
    from hrrr_dask.audit.check import check  # noqa: PLC0415  --help should not wait for it
    from hrrr_dask.cli.tables import print_tables  # noqa: PLC0415

    report = check(**settings(given))
    note_report(report)
    if as_json:
        answer = {"outcome": report.outcome, "summary": report.summary, **dataclasses.asdict(report)}
        click.echo(to_json(answer))
    else:
        click.echo(report.summary)
        print_tables(Console(), [dataclasses.replace(table, title="") for table in report.tables()])
    click.get_current_context().exit(report.exit_code)
