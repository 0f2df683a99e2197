"""Messages to people through apprise: chat, mail, pagers. They hold no secrets, and a lost one is a warning."""

from __future__ import annotations

import functools
import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

from hrrr_dask.errors import ConfigError
from hrrr_dask.objects.locations import redact_url

__all__ = ["NOTIFY_VARIABLE", "Notifier", "remove_secrets"]

NOTIFY_VARIABLE: Final = "HRRR_DASK_NOTIFY"
"""Environment variable with URLs of notifications, separated by spaces."""

MAX_TEXT: Final = 2000
"""Longest text; chats cut longer ones, or refuse them [character]."""

_URL: Final = re.compile(r"\w[\w+.-]*://[^\s'\",;)]+")
_SECRET_NAME: Final = re.compile(r"secret|token|passw|credential|(^|_)(key|keys|sas|pwd|auth|dsn)(_|$)", re.IGNORECASE)
_PLACE_NAME: Final = re.compile(r"_(FILE|PATH|DIR|URI|ENDPOINT)$|^PWD$", re.IGNORECASE)
"""Names of variables that say where a secret is, not what it is; PWD is the current directory."""

_MIXED: Final = r"(?=[A-Z\d+/]{0,39}[a-z])(?=[a-z\d+/]{0,39}[A-Z])(?=[A-Za-z+/]{0,39}\d)[A-Za-z\d+/]{40}"
_TOKEN: Final = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # a key of AWS
    rf"|(?<![\w+/]){_MIXED}(?![\w+/=])"  # its secret, which has capitals, unlike a commit's digest
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON Web Token
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abprs]-[\w-]+"
    r"|(?<=[Bb]earer )[\w.~+/-]+|-----BEGIN [A-Z ]+-----[\s\S]*"
)
_ASSIGNED: Final = re.compile(
    r"((?:secret|token|passw|credential|signature|(?:api|access|account)_?key)\w*['\"]?\s*[=:]\s*)['\"]?[^\s'\",;&)]+",
    re.IGNORECASE,
)
"""A name that sounds like a secret, and its value."""

SHORTEST_SECRET: Final = 6
"""Shorter values of variables with a secret's name are words such as ``true`` [character]."""


class Notifier:
    """Sends messages about one command to services.

    Parameters
    ----------
    urls : sequence of str
        URLs of apprise, such as ``slack://TokenA/TokenB/TokenC`` or ``mailto://user:password@example.org``.
    command : str
        Name of the command.
    store : str
        URL of the store that it is about.

    Raises
    ------
    ConfigError
        If apprise is not installed, or does not know a URL. The URL is not repeated, as it holds a password.
    """

    def __init__(self, urls: Sequence[str], command: str, store: str) -> None:
        self._apprise = _load_apprise()
        asset = self._apprise.AppriseAsset(app_id="hrrr-dask", app_desc="hrrr-dask", secure_logging=True)
        self._title = f"hrrr-dask {command}: {remove_secrets(redact_url(store))}"
        self._services: list[tuple[str, Any]] = []
        for number, url in enumerate(urls, start=1):
            service = self._apprise.Apprise(asset=asset)
            with _silenced():
                known = bool(service.add(url))
            if not known:
                raise ConfigError(
                    f"URL {number} of --notify or {NOTIFY_VARIABLE}, {_scheme(url)}://…, is none of apprise: write it "
                    "as https://github.com/caronc/apprise/wiki has it for your service"
                )
            self._services.append((_scheme(url), service))

    def send(self, text: str, *, well: bool = False) -> list[str]:
        """Send a message to every service.

        Parameters
        ----------
        text : str
            What happened, in a sentence or a few lines.
        well : bool
            Whether it is good news: something works again.

        Returns
        -------
        list of str
            A sentence for each service that did not accept the message.
        """
        kind = self._apprise.NotifyType.SUCCESS if well else self._apprise.NotifyType.FAILURE
        safe = remove_secrets(text)
        short = safe if len(safe) <= MAX_TEXT else f"{safe[: MAX_TEXT - 1]}…"
        body = f"{short}\n(on {socket.gethostname()})"
        lost = []
        for scheme, service in self._services:
            with _silenced():
                try:
                    sent = service.notify(
                        body, title=self._title, notify_type=kind, body_format=self._apprise.NotifyFormat.TEXT
                    )
                except Exception:  # noqa: BLE001  whatever a service does, the work is done and its result stands
                    sent = False
            if not sent:
                lost.append(f"the notification to {scheme}://… was not accepted: check its URL, and the network")
        return lost


def remove_secrets(text: str) -> str:
    """Remove what may be a secret: users, passwords and queries of URLs, secrets of the environment, keys and tokens.

    Examples
    --------
    >>> remove_secrets("cannot read https://me:hunter2@example.org/x?sig=hunter2, which is needed")
    'cannot read https://…@example.org/x?…, which is needed'
    """
    for name in filter(_is_secret, os.environ):
        value = os.environ.get(name, "")
        for each in value.split() if name == NOTIFY_VARIABLE else [value]:
            if len(each) >= SHORTEST_SECRET:
                text = text.replace(each, "…")
    text = _URL.sub(lambda match: redact_url(match[0]), text)
    return _ASSIGNED.sub(r"\1…", _TOKEN.sub("…", text))


@functools.lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return name == NOTIFY_VARIABLE or (bool(_SECRET_NAME.search(name)) and not _PLACE_NAME.search(name))


def _scheme(url: str) -> str:
    """Return the scheme of a URL; without one, all of it may be a token."""
    match = re.match(r"\s*([a-z][a-z0-9+.-]{0,20})://", url, re.IGNORECASE)
    return match[1].lower() if match else "?"


@contextmanager
def _silenced() -> Iterator[None]:
    """Silence apprise: its log can quote responses and parts of URLs, and its modules warn of old imports."""
    logger = logging.getLogger("apprise")
    before = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def _load_apprise() -> ModuleType:
    try:
        with _silenced():
            import apprise  # noqa: PLC0415  optional
    except ImportError as error:
        raise ConfigError('--notify needs apprise: pip install "hrrr-dask[notify]"') from error
    module: ModuleType = apprise
    return module
