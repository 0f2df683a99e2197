"""Logs: events with their context, as lines for people or as one JSON object a line.

The package logs through :mod:`logging`, below the logger ``hrrr_dask``, and configures nothing: a program that has its
own handlers gets our records with the fields as attributes. :func:`configure_logs` and the option ``--log-format``
write them with structlog. What a person must know is info or worse; each file is debug.

=================  ==========================================================================================
field              meaning
=================  ==========================================================================================
``event``          what happened
``timestamp``      when, UTC, ISO 8601
``level``          debug, info, warning, error or critical
``logger``         ``hrrr_dask`` or a logger below it, or that of a library
``job``            eight letters that all lines of a run share, also in the ledger
``partition``      number of the partition
``file``           label of the file, such as ``20240102T12-f18``
``source``         name or URL of the source
``seconds``        duration [s]
``code``           code of an error, as in ``hrrr_dask.errors``
=================  ==========================================================================================
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Integral
from types import MappingProxyType
from typing import Any, Final, TextIO

from hrrr_dask.errors import ConfigError
from hrrr_dask.telemetry.notify import remove_secrets

__all__ = [
    "FORMATS",
    "FORMAT_VARIABLE",
    "LEVELS",
    "LEVEL_VARIABLE",
    "Log",
    "configure_from_environment",
    "configure_logs",
    "context",
    "get_log",
    "is_configured",
    "reset_logs",
]

FORMATS: Final = ("console", "json")
LEVELS: Final = ("debug", "info", "warning", "error")

FORMAT_VARIABLE: Final = "HRRR_DASK_LOG_FORMAT"
"""Environment variable with the format: commands and workers that have it configure their logs when they start."""

LEVEL_VARIABLE: Final = "HRRR_DASK_LOG_LEVEL"
"""Environment variable with the lowest level."""

_ROOT: Final = "hrrr_dask"
_FIRST: Final = ("timestamp", "level", "event", "job", "partition", "file", "source", "seconds")
"""Order of the fields of a JSON object; all others follow."""

_OF_DASK: Final = ("distributed", "distributed.client", "distributed.gc", "bokeh", "tornado", "tornado.application")
"""Loggers that distributed gives a handler of its own."""

_context: ContextVar[Mapping[str, Any]] = ContextVar("hrrr_dask_log_context", default=MappingProxyType({}))
_LOCK: Final = threading.Lock()


class Log:
    """Logs events with fields, and with those of the context.

    Parameters
    ----------
    name : str
        Name of the logger. Without a configuration, ``hrrr_dask`` itself tells people of warnings, as any logger
        does; those below it are silent.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        if name != _ROOT:
            self._logger.addHandler(logging.NullHandler())

    def is_on(self, level: str) -> bool:
        """Return whether events of a level are written: what costs much to say need not be computed otherwise."""
        return self._logger.isEnabledFor(logging.getLevelNamesMapping()[level.upper()])

    def debug(self, event: str, **fields: Any) -> None:
        """Log what matters to whoever looks for a fault."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Log what happened as it should."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what a person should look at."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log a failure. ``exc_info=True`` adds the traceback of the exception that is handled."""
        self._log(logging.ERROR, event, fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            exc_info = fields.pop("exc_info", None)
            self._logger.log(level, "%s", event, extra={**_context.get(), **fields}, exc_info=exc_info, stacklevel=3)


def get_log(name: str = _ROOT) -> Log:
    """Return the log of that name, ``hrrr_dask`` or one below it."""
    return Log(name)


@contextmanager
def context(**fields: Any) -> Iterator[None]:
    """Add fields to all events inside the block, in this thread or task."""
    token = _context.set({**_context.get(), **fields})
    try:
        yield
    finally:
        _context.reset(token)


def configure_logs(format: str = "console", level: str = "info", *, stream: TextIO | None = None) -> None:  # noqa: A002
    """Write the logs of this process: of hrrr_dask, Dask and all libraries.

    Workers of :class:`distributed.LocalCluster` that start afterwards do the same; others read the environment
    variables ``HRRR_DASK_LOG_FORMAT`` and ``HRRR_DASK_LOG_LEVEL`` when they start.

    Parameters
    ----------
    format : {'console', 'json'}
        Lines for people, or one JSON object a line.
    level : {'debug', 'info', 'warning', 'error'}
        Lowest level of hrrr_dask's events. Dask's are written from warning on, or all with debug.
    stream : file-like, optional
        Where to write; stderr by default.

    Raises
    ------
    ConfigError
        If the format or level is another.

    Examples
    --------
    >>> import io, json, logging
    >>> lines = io.StringIO()
    >>> hrrr_dask.configure_logs("json", stream=lines)
    >>> logging.getLogger("hrrr_dask").warning("the disk is slow")
    >>> json.loads(lines.getvalue())["event"]
    'the disk is slow'
    """
    _check("format", format, FORMATS)
    _check("level", level, LEVELS)
    reset_logs()
    handler = _Handler(stream or sys.stderr)
    handler.setFormatter(_formatter(format, colors=stream is None and sys.stderr.isatty()))
    if level != "debug":
        handler.addFilter(_is_no_chatter)
    with _LOCK:
        os.environ |= {FORMAT_VARIABLE: format, LEVEL_VARIABLE: level}
        logging.getLogger().addHandler(handler)
        logging.getLogger(_ROOT).setLevel(level.upper())
        for name in _OF_DASK:  # if distributed is imported later, it finds our handler and installs none
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
    logging.captureWarnings(capture=True)


def reset_logs() -> None:
    """Undo :func:`configure_logs`, except that Dask's own handlers stay away."""
    root = logging.getLogger()
    with _LOCK:
        ours = [handler for handler in root.handlers if isinstance(handler, _Handler)]
        for handler in ours:
            root.removeHandler(handler)
            _restore_environment(handler.environment)
    if ours:
        logging.getLogger(_ROOT).setLevel(logging.NOTSET)
        logging.captureWarnings(capture=False)


def configure_from_environment() -> None:
    """Write the logs of this process as the environment variables say; nothing happens without them.

    Raises
    ------
    ConfigError
        As for :func:`configure_logs`.
    """
    wanted, level = os.environ.get(FORMAT_VARIABLE), os.environ.get(LEVEL_VARIABLE)
    if (wanted or level) and not is_configured():
        configure_logs(wanted or "console", level or "info")


def is_configured() -> bool:
    """Return whether :func:`configure_logs` writes the logs of this process."""
    return any(isinstance(handler, _Handler) for handler in logging.getLogger().handlers)


class _Handler(logging.StreamHandler[TextIO]):
    """The only handler of ours, which another configuration replaces."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.environment = {name: os.environ.get(name) for name in (FORMAT_VARIABLE, LEVEL_VARIABLE)}


def _is_no_chatter(record: logging.LogRecord) -> bool:
    """Leave out what Dask says of a cluster that is well."""
    return record.levelno >= logging.WARNING or not record.name.startswith(_OF_DASK)


def _restore_environment(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _check(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ConfigError(f"the log {what} is {' or '.join(known)}, not {value!r}")


def _formatter(format: str, *, colors: bool) -> logging.Formatter:  # noqa: A002
    """Build structlog's formatter for records of any logger."""
    import structlog  # noqa: PLC0415  16 MB, which processes do without that do not write logs

    before: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if format == "json":
        last: list[Any] = [
            structlog.processors.format_exc_info,
            _remove_secrets,
            _order,
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [structlog.processors.format_exc_info, _remove_secrets, structlog.dev.ConsoleRenderer(colors=colors)]
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before, processors=[remove_meta, _drop_formatted, *last]
    )


def _remove_secrets(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Remove secrets from all texts of an event, together, as each call looks through the environment."""
    plain: dict[str, Any] = _plain(event)
    texts = [*_texts(plain)]
    safe = remove_secrets("\n".join(texts)).split("\n")
    if safe == texts:
        return plain
    if len(safe) != len(texts) or any("\n" in text for text in texts):  # then each by itself
        safe = [remove_secrets(text) for text in texts]
    replaced: dict[str, Any] = _replaced(plain, iter(safe))
    return replaced


def _plain(value: Any) -> Any:
    """Return what JSON can have; text for all else."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str | bool | None):
        return value
    return int(value) if isinstance(value, Integral) else str(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def _replaced(value: Any, texts: Iterator[str]) -> Any:
    """Return the value with other texts, in the order of :func:`_texts`."""
    if isinstance(value, dict):
        return {key: _replaced(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, texts) for item in value]
    return next(texts) if isinstance(value, str) else value


def _drop_formatted(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop what another handler, which formatted the record before, has left in it."""
    for name in ("message", "asctime"):
        event.pop(name, None)
    return event


def _order(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    return {key: event[key] for key in _FIRST if key in event} | dict(event)
