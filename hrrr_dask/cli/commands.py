"""The commands that make, grow and examine a store: each parses its options, calls the API and prints the result."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
from rich.console import Console

from hrrr_dask.cli.group import cli, run, to_json
from hrrr_dask.cli.logs import progress_of, tell
from hrrr_dask.cli.metrics import metrics_option
from hrrr_dask.cli.noted import note_report
from hrrr_dask.cli.notify import notify_option
from hrrr_dask.cli.options import (
    cluster_options,
    json_option,
    pairs,
    period_options,
    selection_options,
    settings,
    source_options,
    store_option,
    store_options,
)

__all__ = ["cli", "main"]


@cli.command("plan")
@selection_options
@period_options
@source_options
@click.option("--store", default="", metavar="URL", help="Store to continue; files that it has are not planned again.")
@store_option
@click.option("--calibrate", is_flag=True, help="Measure the decoding speed of this machine, for the core-hours.")
@click.option(
    "--dollars-per-core-hour", type=float, metavar="PRICE", help="Price of a core, for the costs.  [default: 0.045]"
)
@json_option
def plan_command(*, as_json: bool, calibrate: bool, **given: Any) -> None:
    """Show which files a backfill would read, and its cost, without reading or writing anything."""
    from hrrr_dask.api import plan  # noqa: PLC0415  --help should not wait for Dask
    from hrrr_dask.cli.answers import plan_answer  # noqa: PLC0415
    from hrrr_dask.cli.tables import plan_table, print_tables  # noqa: PLC0415
    from hrrr_dask.config.settings import resolve_settings  # noqa: PLC0415
    from hrrr_dask.job.costs import DEFAULT_CALIBRATION, estimate  # noqa: PLC0415

    made = plan(**{"points": None, **settings(given)})
    resolved = resolve_settings(dollars_per_core_hour=given["dollars_per_core_hour"])
    calibration = _calibrate(resolved["engine"]) if calibrate else DEFAULT_CALIBRATION
    costs = estimate(made, calibration, resolved["dollars-per-core-hour"])
    if as_json:
        click.echo(to_json(plan_answer(made, costs)))
    else:
        print_tables(Console(), [plan_table(made, costs)])


def _calibrate(engine: str) -> Any:
    from hrrr_dask.job.calibrate import calibrate  # noqa: PLC0415  it writes a message with ecCodes

    tell(f"measuring the decoding speed of this machine with {engine}")
    return calibrate(engine)


@cli.command("backfill")
@selection_options
@period_options
@source_options
@store_options
@cluster_options
@click.option("--retry-gaps", is_flag=True, help="Read files with gaps again, however old.")
@metrics_option
@notify_option
@json_option
def backfill_command(*, as_json: bool, **given: Any) -> None:
    """Read the files that the store does not have yet, and write their values."""
    from hrrr_dask.api import backfill  # noqa: PLC0415  --help should not wait for Dask

    run(backfill, {"points": None, **settings(given)}, as_json=as_json)


@cli.command("update")
@store_options
@source_options
@cluster_options
@click.option("--end", metavar="TIME", help="Last init time.  [default: now]")
@click.option(
    "--until-complete", is_flag=True, help="Wait for files of the newest runs, and read them as they are published."
)
@click.option(
    "--deadline",
    metavar="DURATION",
    help="With --until-complete: wait at most so long, such as 50min; files that are missing then are gaps, which the "
    "next update tries again.  [default: 2h]",
)
@metrics_option
@notify_option
@json_option
def update_command(*, as_json: bool, **given: Any) -> None:
    """Read the newest runs that are not in the store, and retry gaps of the week before them."""
    from hrrr_dask.api import update  # noqa: PLC0415  --help should not wait for Dask

    if given["deadline"] is not None and not given["until_complete"]:
        raise click.UsageError("--deadline limits the wait of --until-complete: add that, or leave --deadline out")
    run(update, settings(given), as_json=as_json)


@cli.command("add-points")
@store_options
@click.option("--points", required=True, metavar="FILE", help="New points; can include points that the store has.")
@source_options
@cluster_options
@metrics_option
@notify_option
@json_option
def add_points_command(*, as_json: bool, **given: Any) -> None:
    """Add points to a store, and read them from every file that it has. The store can be in use."""
    from hrrr_dask.api import add_points  # noqa: PLC0415  --help should not wait for Dask

    run(add_points, settings(given), as_json=as_json)


@cli.command("add-variables")
@store_options
@click.option("--variables", required=True, metavar="NAMES", help="New variables, as for backfill.")
@source_options
@cluster_options
@metrics_option
@notify_option
@json_option
def add_variables_command(*, as_json: bool, **given: Any) -> None:
    """Add variables to a store, and read them from every file that it has. The store can be in use."""
    from hrrr_dask.api import add_variables  # noqa: PLC0415  --help should not wait for Dask

    run(add_variables, settings(given), as_json=as_json)


@cli.command("status")
@store_options
@click.option("--plot", default="", metavar="FILE", help="Write a PNG: completeness by day and lead time.")
@click.option("--gaps", is_flag=True, help="List every gap: its reason, its source, when it is retried.")
@json_option
def status_command(*, store: str, store_option: tuple[str, ...], plot: str, gaps: bool, as_json: bool) -> None:
    """Show what a store has: complete files, files to do, gaps by reason and by day."""
    from hrrr_dask.audit.status import status  # noqa: PLC0415
    from hrrr_dask.cli.tables import print_tables  # noqa: PLC0415  --help should not wait for Dask

    found = status(store, plot=plot, gaps=gaps, **pairs("--store-option", store_option))
    if as_json:
        click.echo(to_json(dataclasses.asdict(found)))
        return
    print_tables(Console(), found.tables())
    if plot:
        click.echo(f"\nplot   {plot}")


@cli.command("quality")
@store_options
@click.option("--start", default="", metavar="TIME", help="First init time, UTC.  [default: the store's first]")
@click.option("--end", default="", metavar="TIME", help="Last init time, included.  [default: the store's last]")
@click.option("--markdown", default="", metavar="FILE", help="Write the assessment as a Markdown page.")
@click.option("--plot", default="", metavar="FILE", help="Write a PNG: flagged values by variable and time.")
@click.option("--fail-on", default="", metavar="FLAG,...", help="Exit with code 3 if any of these flags is found.")
@json_option
def quality_command(*, store: str, store_option: tuple[str, ...], fail_on: str, as_json: bool, **given: str) -> None:
    """Check every value of a store for physical plausibility. No value is changed."""
    from hrrr_dask.audit.assess import assess, parse_flags  # noqa: PLC0415  --help should not wait for Dask
    from hrrr_dask.cli.answers import assessment_answer  # noqa: PLC0415
    from hrrr_dask.cli.tables import print_tables  # noqa: PLC0415

    fatal = parse_flags(fail_on)
    found = assess(store, progress=progress_of(True, "partitions"), **given, **pairs("--store-option", store_option))
    if as_json:
        click.echo(to_json(assessment_answer(found)))
    else:
        print_tables(Console(), found.tables())
        for name in ("markdown", "plot"):
            if given[name]:
                click.echo(f"{name:8} {given[name]}")
    if there := found.found(fatal):
        tell(f"found {', '.join(there)}")
        click.get_current_context().exit(3)


@cli.command("verify")
@store_options
@click.option("--sample", type=int, metavar="N", help="Number of files, drawn evenly from the store.  [default: 20]")
@click.option("--all", "every_file", is_flag=True, help="Verify all files instead of a sample.")
@click.option(
    "--checksums", is_flag=True, help="Compare the whole store with the ledger's checksums, without the archive."
)
@click.option("--start", metavar="TIME", help="First init time.  [default: the store's]")
@click.option("--end", metavar="TIME", help="Last init time, included.  [default: the store's]")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="S", help="Seed of the sample: the same seed draws the same files."
)
@source_options
@metrics_option
@notify_option
@json_option
def verify_command(*, checksums: bool, as_json: bool, **given: Any) -> None:
    """Read a sample of files again, whole and with ecCodes only, and compare every value with the store.

    Exit codes: 0 equal, 1 something differs, 3 nothing differs but something could not be checked.
    """
    from hrrr_dask.audit.checksums import verify_checksums  # noqa: PLC0415
    from hrrr_dask.audit.verify import verify  # noqa: PLC0415
    from hrrr_dask.cli.tables import print_tables  # noqa: PLC0415

    beside = [name for name in ("sample", "every_file", "seed", "source", "source_option") if given[name]]
    if checksums and beside:
        raise click.UsageError(
            f"--checksums compares the whole store and reads no archive: leave out {', '.join(beside)}"
        )
    if given["every_file"] and given["sample"] is not None:
        raise click.UsageError("--all and --sample exclude each other: give one of them")
    wanted = settings(given)
    if checksums:
        del wanted["every_file"]
    wanted["progress"] = progress_of(True, "arrays" if checksums else "files")
    report = verify_checksums(**wanted) if checksums else verify(**wanted)
    note_report(report)
    if as_json:
        click.echo(to_json({"outcome": report.outcome, **dataclasses.asdict(report)}))
    else:
        print_tables(Console(), report.tables())
    click.get_current_context().exit(report.exit_code)


@cli.command("compact")
@store_options
@metrics_option
@json_option
def compact_command(*, store: str, store_option: tuple[str, ...], as_json: bool) -> None:
    """Compact the ledger's many small objects into one. The store can be in use."""
    from hrrr_dask.audit.status import compact  # noqa: PLC0415  --help should not wait for Dask

    before, after = compact(store, **pairs("--store-option", store_option))
    answer = {"store": store, "ledger_objects_before": before, "ledger_objects": after}
    note_report(answer)
    click.echo(to_json(answer) if as_json else f"the ledger of {store} was {before:,} objects and is {after:,}")


@cli.command("demo")
@click.argument("directory", default="hrrr-demo", type=click.Path(file_okay=False))
def demo_command(directory: str) -> None:
    """Run everything offline in DIRECTORY (hrrr-demo): a synthetic archive, a backfill, a Zarr store, a plot."""
    from hrrr_dask.cli.tables import print_tables  # noqa: PLC0415
    from hrrr_dask.demo import run_demo  # noqa: PLC0415  --help should not wait for Dask

    result = run_demo(directory, progress=True, say=Console(stderr=True).print)
    print_tables(Console(), result.report.tables())
    click.echo(f"\nstore  {result.store}\nplot   {result.plot}\n")
    click.echo(result.advice())
    click.get_current_context().exit(result.exit_code)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="hrrr-dask")
