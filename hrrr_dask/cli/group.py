"""The group of all commands: how they end, fail and print."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console

import hrrr_dask
from hrrr_dask.cli.logs import add_log_options, progress_of, tell
from hrrr_dask.cli.noted import note_report
from hrrr_dask.errors import HrrrDaskError
from hrrr_dask.telemetry import faults
from hrrr_dask.telemetry.logs import is_configured

__all__ = ["cli", "run", "to_json"]


class _Group(click.Group):
    """Gives each command the options of logs, and ends errors of hrrr_dask as a short text with their exit code.

    Other exceptions are faults of our own.
    """

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        add_log_options(cmd)
        super().add_command(cmd, name)

    def invoke(self, ctx: click.Context) -> Any:
        if complaint := faults.prepare():
            tell(complaint, "warning")
        try:
            return super().invoke(ctx)
        except HrrrDaskError as error:
            _print_failure(ctx, error.code, str(error))
            tell(str(error), "error", code=error.code)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            _print_failure(ctx, "usage", error.format_message())
            if not is_configured():
                raise
            tell(error.format_message(), "error", code="usage")
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            _print_failure(ctx, "interrupted", "stopped before anything was read")
            tell("stopped; the same command again does the rest")
            ctx.exit(1)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click ends the command as it should
        except Exception as error:
            kind = type(error).__name__
            _print_failure(ctx, "internal-error", f"{kind}: {error}")
            faults.report(error, stage="command", command=ctx.invoked_subcommand)
            fault = (
                f"{kind} is a fault of hrrr_dask {hrrr_dask.__version__}, not of your request: please report it with "
            )
            if not is_configured():
                tell(f"{fault}the traceback below. What is committed stays", "error")
                raise
            tell(f"{fault}its traceback. What is committed stays", "error", code="internal-error", exc_info=True)
            ctx.exit(1)


def _print_failure(ctx: click.Context, code: str, text: str) -> None:
    """With --json, print the failure as one JSON document to stdout."""
    if ctx.meta.get("json") or "--json" in sys.argv:
        click.echo(json.dumps({"outcome": "failed", "error": {"code": code, "text": text}}))


@click.group("hrrr", cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(hrrr_dask.__version__, prog_name="hrrr-dask")
def cli() -> None:
    """Point series of the whole HRRR archive, through Dask, in one Zarr store.

    Exit codes: 0 done, 1 failed, 2 usage, 3 done with gaps. Run a killed or interrupted command again to do the rest.
    """


def run(action: Any, given: dict[str, Any], *, as_json: bool, progress: bool | None = True, counted: str = "") -> None:
    """Run a command that reads files: show its progress, print its report, exit with its code."""
    if given.pop("dry_run"):
        _print_manifest(given)
        return
    from hrrr_dask.cli.tables import print_tables  # noqa: PLC0415  --help should not wait for Dask

    with _silence_dask_client():
        report = action(progress=progress_of(progress, counted), **given)
    note_report(report)
    if as_json:
        click.echo(to_json({"outcome": report.outcome, **dataclasses.asdict(report)}))
    else:
        print_tables(Console(), report.tables())
    click.get_current_context().exit(report.exit_code)


def _print_manifest(given: dict[str, Any]) -> None:
    from hrrr_dask.clusters import manifest_yaml  # noqa: PLC0415  --help should not wait for Dask
    from hrrr_dask.config.settings import DEFAULTS, resolve_settings  # noqa: PLC0415

    names = {key.replace("-", "_") for key in DEFAULTS}
    settings = resolve_settings(**{key: value for key, value in given.items() if key in names})
    click.echo(manifest_yaml(settings), nl=False)


@contextmanager
def _silence_dask_client() -> Iterator[None]:
    """Silence Dask's traceback for a lost scheduler, which our error already reports."""
    client = logging.getLogger("distributed.client")
    before = client.level
    client.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        client.setLevel(before)


def to_json(answer: dict[str, Any]) -> str:
    """Encode an answer as JSON; times in ISO 8601."""

    def spell(value: Any) -> str:
        return value.isoformat() if isinstance(value, datetime) else str(value)

    return json.dumps(answer, default=spell)
