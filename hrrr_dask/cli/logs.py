"""The options ``--log-format`` and ``--log-level`` of all commands, and what commands tell people on stderr."""

from __future__ import annotations

import os
from typing import Any

import click

from hrrr_dask.telemetry import logs
from hrrr_dask.telemetry.log_progress import LogCount, LogProgress

__all__ = ["add_log_options", "progress_of", "tell"]

_log = logs.get_log()


def add_log_options(command: click.Command) -> None:
    """Add the options to a command. Its function does not get them."""
    command.params += [
        click.Option(
            ["--log-format"],
            type=click.Choice(logs.FORMATS),
            envvar=logs.FORMAT_VARIABLE,
            show_envvar=True,
            expose_value=False,
            is_eager=True,
            callback=_configure,
            help="Write logs to stderr instead of a progress bar: lines for people, or one JSON object a line, from "
            "workers too.",
        ),
        click.Option(
            ["--log-level"],
            type=click.Choice(logs.LEVELS),
            envvar=logs.LEVEL_VARIABLE,
            show_envvar=True,
            expose_value=False,
            is_eager=True,
            callback=_configure,
            help="Lowest level of the logs; debug has each file.  [default: info]",
        ),
    ]


def _configure(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None or ctx.resilient_parsing:
        return
    format_, level = os.environ.get(logs.FORMAT_VARIABLE, "console"), os.environ.get(logs.LEVEL_VARIABLE, "info")
    if param.name == "log_format":
        format_ = value
    else:
        level = value
    logs.configure_logs(format_, level)
    ctx.find_root().call_on_close(logs.reset_logs)  # after the command's error is logged


def progress_of(bar: bool | None, counted: str = "") -> Any:
    """Return what shows the progress of a run, or of what is counted: the log if one is written, else the bar."""
    if not logs.is_configured():
        return bar
    return LogCount(counted) if counted else LogProgress()


def tell(text: str, level: str = "", **fields: Any) -> None:
    """Tell people something on stderr, as an event if a log is written; without a level it is only information."""
    if logs.is_configured():
        getattr(_log, level or "info")(text, **fields)
    else:
        click.echo(f"{level}: {text}" if level else text, err=True)
