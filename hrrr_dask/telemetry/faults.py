"""Sends faults of our own code to Sentry if SENTRY_DSN is set: where they happened, and nothing of what was worked on.

An event has the types, texts and frames of an exception, and a few tags. It is built here, field by field, because
what the SDK collects by itself (local variables, lines of source, arguments, headers) may hold secrets and values. The
client is our own: an application that uses Sentry for itself is neither read nor changed.
"""

from __future__ import annotations

import atexit
import os
import platform
import re
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from types import TracebackType
from typing import Any, Final

import hrrr_dask
from hrrr_dask.errors import HrrrDaskError
from hrrr_dask.telemetry.logs import get_log
from hrrr_dask.telemetry.notify import remove_secrets

__all__ = ["DSN_VARIABLE", "flush", "prepare", "report", "report_message", "reported"]

DSN_VARIABLE: Final = "SENTRY_DSN"
"""Environment variable with the address of a project of Sentry."""

MOST_EVENTS: Final = 20
"""Maximum events of a process: one bug can be met in millions of files."""

MOST_FRAMES: Final = 100
"""Maximum frames of an exception; the outermost and the innermost half are sent."""

MOST_CHAINED: Final = 10
"""Maximum exceptions of a chain of causes."""

MAX_TEXT: Final = 1000
"""Longest text of an exception [character]."""

MAX_RAW: Final = 20 * MAX_TEXT
"""Longest text that is searched for secrets and values: that of an exception can hold a whole array [character]."""

FLUSH_S: Final = 2.0
"""Longest wait for events that are not sent yet, at the end of a process [s]."""

_PACKAGE: Final = "hrrr_dask"

_VALUES: Final = (
    (re.compile(r"\bb'(?:[^'\\]|\\.)*'|\bb\"(?:[^\"\\]|\\.)*\""), "b'…'"),
    (re.compile(r"\[(?=[^\[\]]*\d)[\s\d.,eE+\-nafi…]*+(?:\]|$)"), "[…]"),
    (re.compile(r"(?<![\w.])[-+]?(?:\d+\.\d*(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+)(?!\.?\d)"), "…"),
)
"""What in a text may be data: bytes, lists of numbers, numbers that are not whole; and what replaces it."""

_log = get_log("hrrr_dask.telemetry.faults")


class _Reporter:
    """The connection of one process, made by the first call that needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connected = False
        self._client: Any = None
        self._complaint = ""
        self._places: set[tuple[str, ...]] = set()

    def prepare(self) -> str:
        """Connect, and return what is wrong with it, the first time."""
        with self._lock:
            if not self._connected:
                self._connected = True
                self._client, self._complaint = _connect(os.environ.get(DSN_VARIABLE, "").strip())
            complaint, self._complaint = self._complaint, ""
        return complaint

    def wants(self, place: tuple[str, ...]) -> bool:
        """Return whether an event from a place is to be sent: the first one, and not too many in all."""
        self.prepare()
        with self._lock:
            if self._client is None or place in self._places or len(self._places) >= MOST_EVENTS:
                return False
            self._places.add(place)
        return True

    def send(self, event: dict[str, Any]) -> None:
        """Send an event in the background."""
        self._client.capture_event(event)

    def flush(self, timeout_s: float) -> None:
        if self._client is not None:
            self._client.flush(timeout=timeout_s)


_reporters: Final[dict[int, _Reporter]] = {}
"""Process id to its reporter: locks and threads do not survive a fork."""


def prepare() -> str:
    """Connect to Sentry if ``SENTRY_DSN`` is set.

    Returns
    -------
    str
        A sentence if faults cannot be sent, once in a process; else empty. It never has the variable's value.
    """
    return _reporter().prepare() if _is_wanted() else ""


def report(error: BaseException, *, stage: str, **tags: object) -> None:
    """Send an exception of our own code. Never raises, and does not wait for the network.

    Parameters
    ----------
    error : BaseException
        The exception, with its traceback.
    stage : str
        What was being done: ``read``, ``write``, ``command``, …
    **tags
        Where: ``job``, ``store``, ``file``, ``engine``, ``command``. None is left out.
    """
    if _is_wanted():
        with _harmless():
            place, reporter = _place(error), _reporter()
            if reporter.wants(place):
                event = _event(stage, tags, list(place[:-1]))
                reporter.send(event | {"exception": {"values": _describe_chain(error)}})


def report_message(text: str, *, kind: str, stage: str, **tags: object) -> None:
    """Send a fault that has no exception here, such as a crash of a child process, once for each kind in a process."""
    if _is_wanted():
        with _harmless():
            reporter = _reporter()
            if reporter.wants((kind,)):
                reporter.send(_event(stage, tags, [kind]) | {"message": _safe_text(text)})


@contextmanager
def reported(stage: str, **tags: object) -> Iterator[None]:
    """Report what the block raises, unless it is one of our errors, which say themselves what to do."""
    try:
        yield
    except HrrrDaskError:
        raise
    except Exception as error:
        report(error, stage=stage, **tags)
        raise


def flush(timeout_s: float = FLUSH_S) -> None:
    """Wait until events are sent, but not long: a server that does not respond must not hold up what ends."""
    reporter = _reporters.get(os.getpid())
    if reporter is not None:
        with _harmless():
            reporter.flush(timeout_s)


def _is_wanted() -> bool:
    return bool(os.environ.get(DSN_VARIABLE, "").strip())


def _reporter() -> _Reporter:
    return _reporters.setdefault(os.getpid(), _Reporter())


@contextmanager
def _harmless() -> Iterator[None]:
    """Whatever goes wrong with a report, the fault that it is about, and the work, go on as without it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  see above
        _log.debug("a fault could not be sent to Sentry", error=type(error).__name__)


def _connect(dsn: str) -> tuple[Any, str]:
    """Return a client, or None and a sentence."""
    try:
        import sentry_sdk  # noqa: PLC0415  optional
    except Exception:  # noqa: BLE001  missing, or broken
        return None, f'{DSN_VARIABLE} is set, but faults cannot be sent to Sentry: pip install "hrrr-dask[sentry]"'
    try:
        client = sentry_sdk.Client(
            dsn=dsn,
            release=f"hrrr-dask@{hrrr_dask.__version__}",
            integrations=[],
            default_integrations=False,  # they hook into logging, threads, subprocesses and the interpreter's exit
            auto_enabling_integrations=False,
            auto_session_tracking=False,
            enable_backpressure_handling=False,  # a thread that checks the connection
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            send_client_reports=False,
            shutdown_timeout=FLUSH_S,
            spotlight=False,
        )
    except Exception as error:  # noqa: BLE001  a wrong address is no reason not to work
        return None, (
            f"{DSN_VARIABLE} is not the address of a project of Sentry ({type(error).__name__}), and faults are not "
            "sent: write it as https://KEY@HOST/NUMBER, or unset it"
        )
    atexit.register(flush)  # as a worker or a script ends
    return client, ""


def _event(stage: str, tags: dict[str, object], fingerprint: list[str]) -> dict[str, Any]:
    texts = {"stage": stage, **{name: str(value) for name, value in tags.items() if value is not None}}
    return {
        "level": "error",
        "logger": _PACKAGE,
        "tags": {name: remove_secrets(text)[:200] for name, text in texts.items()},  # Sentry drops longer ones
        "contexts": {"runtime": {"name": platform.python_implementation(), "version": platform.python_version()}},
        "fingerprint": fingerprint,
    }


def _place(error: BaseException) -> tuple[str, ...]:
    """Return the type of an exception and the innermost frame of ours: two with the same place are the same bug."""
    frames = _describe_frames(error.__traceback__) or [{"module": "", "function": "", "lineno": 0, "in_app": False}]
    inner = next((frame for frame in reversed(frames) if frame["in_app"]), frames[-1])
    return type(error).__qualname__, inner["module"], inner["function"], str(inner["lineno"])


def _describe_chain(error: BaseException) -> list[dict[str, Any]]:
    """Describe an exception and its causes, the first cause first, as Sentry has it."""
    chain: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and not any(each is one for one in chain) and len(chain) < MOST_CHAINED:
        chain.append(each)
        each = each.__cause__ if each.__cause__ is not None or each.__suppress_context__ else each.__context__
    return [
        {
            "type": type(one).__qualname__,
            "module": type(one).__module__,
            "value": _safe_text(_text_of(one)),
            "stacktrace": {"frames": _describe_frames(one.__traceback__)},
        }
        for one in reversed(chain)
    ]


def _describe_frames(found: TracebackType | None) -> list[dict[str, Any]]:
    """Describe the frames of a traceback, the outermost first: names and lines, without variables and source."""
    steps = list(traceback.walk_tb(found))
    if len(steps) > MOST_FRAMES:
        steps = steps[: MOST_FRAMES // 2] + steps[-MOST_FRAMES // 2 :]
    frames = []
    for frame, line in steps:
        module = str(frame.f_globals.get("__name__", ""))
        file = PurePath(frame.f_code.co_filename)
        own = module.partition(".")[0] == _PACKAGE
        depth = module.count(".") + 1 + (file.stem == "__init__")  # the path above the package names a user's home
        frames.append(
            {
                "module": module,
                "function": frame.f_code.co_qualname,
                "filename": "/".join(file.parts[-depth:]),
                "lineno": line,
                "in_app": own,
            }
        )
    return frames


def _text_of(error: BaseException) -> str:
    try:
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    except Exception:  # noqa: BLE001  an exception whose text is a fault, too
        return ""


def _safe_text(text: str) -> str:
    """Return a text without secrets and without values, shortened.

    Examples
    --------
    >>> _safe_text("shape (3, 4) of [287.25 286.5 nan] at 43.56, s3://me:hunter2@bucket")
    'shape (3, 4) of […] at …, s3://…@bucket'
    """
    if len(text) > MAX_RAW:
        text = text[:MAX_RAW].rpartition(" ")[0]  # the last word can be the half of a secret
    text = remove_secrets(text)
    for pattern, replacement in _VALUES:
        text = pattern.sub(replacement, text)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"
