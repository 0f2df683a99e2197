"""Metrics of a command that ends: to a file for the textfile collector of node_exporter, or to a Pushgateway."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from hrrr_dask.errors import ConfigError
from hrrr_dask.objects.locations import normal_url
from hrrr_dask.telemetry.definitions import COMMAND_METRICS, REASONS
from hrrr_dask.telemetry.metrics import make, safe_label

__all__ = ["Target", "describe", "parse_target"]

JOB: Final = "hrrr_dask"
"""Job of the group of a Pushgateway."""

PUSH_TIMEOUT_S: Final = 10.0
"""Time after which a Pushgateway that does not respond is given up [s]."""

_FIGURES: Final = {
    "files": ("files_read", "files"),
    "requests": ("requests",),
    "read_bytes": ("bytes_read",),
    "written_bytes": ("bytes_written",),
    "gaps": ("gaps",),
    "newest_run_timestamp_seconds": ("newest_run",),
    "differences": ("values_differing",),
    "ledger_objects": ("ledger_objects",),
}
"""Metric of a command, after ``hrrr_dask_command_``, to the attributes of a report that it is taken from."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the metrics of one command go."""

    url: str
    """URL of a Pushgateway, or the path of a file."""
    command: str
    """Name of the command."""
    store: str
    """URL of the store that it is about."""
    began: float = field(default_factory=time.monotonic)
    """When the command began [s]."""

    def publish(self, exit_code: int, figures: Mapping[str, Any]) -> None:
        """Write or push the metrics, replacing those of the command's last run.

        Parameters
        ----------
        exit_code : int
            Exit code of the command.
        figures : mapping
            Of :func:`describe`.

        Raises
        ------
        OSError
            If the file cannot be written, or the Pushgateway does not accept them.
        """
        from prometheus_client import CollectorRegistry, generate_latest, pushadd_to_gateway  # noqa: PLC0415  optional

        registry, store = CollectorRegistry(), safe_label(normal_url(self.store))
        always = {
            "exit_code": exit_code,
            "end_timestamp_seconds": time.time(),
            "duration_seconds": time.monotonic() - self.began,
        }
        for name, value in {**always, **figures}.items():
            gauge = make(COMMAND_METRICS[f"hrrr_dask_command_{name}"], registry)
            if isinstance(value, Mapping):
                for key, count in value.items():
                    gauge.labels(self.command, store, key).set(count)
            else:
                gauge.labels(self.command, store).set(value)
        if _is_gateway(self.url):
            group = {"command": self.command, "store": store}
            pushadd_to_gateway(self.url, job=JOB, registry=registry, grouping_key=group, timeout=PUSH_TIMEOUT_S)
        else:
            _replace(Path(self.url), generate_latest(registry))


def describe(report: object) -> dict[str, Any]:
    """Return the figures of a report that are metrics, by the last part of their name.

    Parameters
    ----------
    report : Report, VerifyReport, mapping or None
        Result of a command; None if it failed.
    """
    found = report if isinstance(report, Mapping) else {}
    figures = {}
    for name, attributes in _FIGURES.items():
        values = (found.get(each, getattr(report, each, None)) for each in attributes)
        value = next((value for value in values if value is not None), None)
        if isinstance(value, datetime):
            value = value.replace(tzinfo=UTC).timestamp()
        if value is not None:
            figures[name] = {**dict.fromkeys(REASONS, 0), **value} if isinstance(value, Mapping) else value
    return figures


def parse_target(text: str, command: str, store: str) -> Target:
    """Check the value of ``--metrics`` before the command does anything.

    Parameters
    ----------
    text : str
        Path of a file, or the ``http(s)://`` URL of a Pushgateway.
    command : str
        Name of the command.
    store : str
        URL of the store.

    Raises
    ------
    ConfigError
        If it is neither, holds a password, or prometheus_client is missing.
    """
    try:
        import prometheus_client  # noqa: F401, PLC0415  optional
    except ImportError:
        raise ConfigError("--metrics needs prometheus_client: pip install prometheus-client") from None
    if _is_gateway(text):
        parts = urlsplit(text)
        if "@" in parts.netloc or parts.query or parts.fragment or not parts.hostname:
            raise ConfigError(
                "--metrics is the plain URL of a Pushgateway, such as http://pushgateway:9091, without user, password "
                "and query: arguments are seen by everyone on this machine"
            )
        return Target(text.rstrip("/"), command, store)
    if "://" in text:
        raise ConfigError(
            f"--metrics is a file or the http:// URL of a Pushgateway, not a {text.partition('://')[0]}:// URL"
        )
    path = Path(text)
    if not text or path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(
            f"--metrics {text!r} is not a file that can be written: name one in an existing directory, such as "
            "/var/lib/node_exporter/textfile/hrrr_dask_update.prom"
        )
    return Target(str(path.absolute()), command, store)


def _is_gateway(text: str) -> bool:
    return text.lower().startswith(("http://", "https://"))


def _replace(path: Path, content: bytes) -> None:
    """Replace a file at once: the collector reads the old one or the new one. It ignores what does not end in .prom."""
    number, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        Path(draft).chmod(0o644)  # the collector is another user
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
