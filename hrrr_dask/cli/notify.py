"""The option ``--notify``: people are told when a command fails, and nothing when it succeeds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final

import click

from hrrr_dask.cli.logs import tell
from hrrr_dask.cli.noted import noted_report
from hrrr_dask.errors import HrrrDaskError

__all__ = ["notify_option", "tell_change"]

_NOTIFIER: Final = "hrrr_dask.notifier"


def notify_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Option to tell people of a failure of a command; an interrupt is none."""

    @functools.wraps(command)
    def told(*, notify: tuple[str, ...], **given: Any) -> Any:
        if not notify or given.get("dry_run"):
            return command(**given)
        from hrrr_dask.telemetry.notify import Notifier  # noqa: PLC0415  --help should not wait for it

        context = click.get_current_context()
        context.meta[_NOTIFIER] = Notifier(notify, str(context.info_name), given["store"])
        try:
            return command(**given)
        except click.exceptions.Exit:
            if complaint := _complaint(noted_report()):
                tell_change(complaint)
            raise
        except HrrrDaskError as error:
            tell_change(f"failed: {error}")
            raise
        except click.UsageError as error:
            tell_change(f"failed: {error.format_message()}")
            raise
        except click.Abort:
            raise
        except Exception as error:
            tell_change(f"failed with an internal error ({type(error).__name__}): see its log")
            raise

    return click.option(
        "--notify",
        multiple=True,
        metavar="URL",
        envvar="HRRR_DASK_NOTIFY",
        show_envvar=True,
        help="Tell of a failure, through apprise: slack://…, pagerduty://…, mailto://…; can be repeated. Others see "
        "arguments, so better give URLs with passwords by the environment.",
    )(told)


def tell_change(text: str, *, well: bool = False) -> None:
    """Send a message to those who are to be told of the running command, if any; warn of one that is not accepted."""
    notifier = click.get_current_context().meta.get(_NOTIFIER)
    for warning in [] if notifier is None else notifier.send(text, well=well):
        tell(warning, "warning")


def _complaint(report: Any) -> str:
    """Say what is wrong with a store by the result of a command that ended; empty if nothing is."""
    from hrrr_dask.report.checked import CheckReport  # noqa: PLC0415  --help should not wait for it
    from hrrr_dask.report.differences import DIFFERENCES, VerifyReport  # noqa: PLC0415

    if isinstance(report, CheckReport):
        return "\n".join(f"{check.name} failed: {check.found}: {check.advice}" for check in report.failed)
    if isinstance(report, VerifyReport):
        found = (f"{number:,} values: {DIFFERENCES.get(kind, kind)}" for kind, number in report.counts.items())
        return "\n".join(f"verification failed: {line}" for line in found)
    return ""
