"""The option ``--metrics`` of commands that end, and how their result reaches it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from hrrr_dask.cli.logs import tell
from hrrr_dask.cli.noted import noted_report
from hrrr_dask.errors import HrrrDaskError

__all__ = ["metrics_option"]


def metrics_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Option to publish the exit code and the figures of a command when it ends, also when it fails."""

    @functools.wraps(command)
    def published(*, metrics: str | None, **given: Any) -> Any:
        if metrics is None or given.get("dry_run"):
            return command(**given)
        from hrrr_dask.telemetry.output import describe, parse_target  # noqa: PLC0415  --help should not wait for it

        code = 1
        target = parse_target(metrics, str(click.get_current_context().info_name), given["store"])
        try:
            command(**given)
            code = 0
        except click.exceptions.Exit as done:
            code = done.exit_code
            raise
        except HrrrDaskError as error:
            code = error.exit_code
            raise
        except click.UsageError:
            code = 2
            raise
        finally:
            try:
                target.publish(code, describe(noted_report()))
            except OSError as error:  # the work is done, and its result is on stdout
                tell(f"no metrics at {target.url}: {error}", "warning")
        return None

    return click.option(
        "--metrics",
        metavar="FILE|URL",
        help="At the end, write metrics: to NAME.prom for the textfile collector, or to http://PUSHGATEWAY:9091.",
    )(published)
