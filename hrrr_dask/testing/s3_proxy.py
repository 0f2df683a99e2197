"""An S3 proxy that injects faults (refused, lost, slow requests) by rules, which can be replaced at any time.

::

    with loopback_s3() as s3, StoreProxy(s3.endpoint) as proxy:
        environment = s3.environment() | {"AWS_ENDPOINT_URL": proxy.url}
        ...
        proxy.follow(Rule("503", method="PUT"))        # all writes fail
        ...
        proxy.follow()                                 # no more faults

Requests are forwarded unchanged, including signatures. moto does not check them, so any credentials work.
"""

from __future__ import annotations

import difflib
import http.client
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from hrrr_dask.errors import ConfigError
from hrrr_dask.testing.http_servers import Handler, ThreadedServer

__all__ = ["REFUSALS", "Rule", "StoreProxy", "read_rules"]

REFUSALS: Final = {
    "expired": "400 ExpiredToken: the credentials are no longer valid, as AWS reports it",
    "expired-403": "403 ExpiredToken: the same, as some gateways report it",
    "reset": "the connection is reset before the request is forwarded",
    "lost": "the request is forwarded, but the connection is reset instead of a response",
    "slow": "the request is forwarded after a delay",
    "stall": "the request is not forwarded, and no response is sent",
}
"""Refusal to its effect. Any status from 300 to 599 is a refusal, too: the request is not forwarded."""

_CODES: Final = {
    "403": "AccessDenied",
    "404": "NoSuchKey",
    "409": "ConditionalRequestConflict",
    "412": "PreconditionFailed",
    "500": "InternalError",
    "503": "SlowDown",
    "expired": "ExpiredToken",
    "expired-403": "ExpiredToken",
}
"""Error codes of S3."""

_STATUS: Final = {"expired": 400, "expired-403": 403}

_HOP_BY_HOP: Final = ("connection", "transfer-encoding", "keep-alive", "content-length")
"""Headers that are not forwarded."""

_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests fail, and how. The first rule that applies to a request decides.

    Examples
    --------
    >>> Rule("503", method="PUT", key="/c/", after=2, times=3)  # the third to the fifth PUT of a shard
    Rule(refusal='503', method='PUT', key='/c/', after=2, times=3, each=False)
    >>> rule = Rule("503", method="PUT", times=1)
    >>> rule.matches("PUT", "/a"), rule.matches("GET", "/a"), rule.fails(0), rule.fails(1)
    (True, False, True, False)
    """

    refusal: str
    """One of :data:`REFUSALS`, or an HTTP status."""
    method: str = ""
    """HTTP method of matching requests; empty for all."""
    key: str = ""
    """Regular expression that is searched in the path; empty for all."""
    after: int = 0
    """Number of matching requests that pass before the first failure."""
    times: int | None = None
    """Number of matching requests that fail then; None for all."""
    each: bool = False
    """Count matching requests per path."""

    def __post_init__(self) -> None:
        status = self.refusal.isdecimal() and 300 <= int(self.refusal) < 600
        if not status and self.refusal not in REFUSALS:
            near = difflib.get_close_matches(self.refusal, REFUSALS, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(
                f"a rule has the refusal {self.refusal!r}: {hint}Write a status from 300 to 599 or one of "
                f"{', '.join(REFUSALS)}"
            )
        if self.after < 0 or (self.times is not None and self.times < 0):
            raise ConfigError(f"a rule counts from 0; found after={self.after} and times={self.times}")
        try:
            re.compile(self.key)
        except re.error as error:
            raise ConfigError(f"a rule has the key {self.key!r}, which is not a regular expression: {error}") from None

    def matches(self, method: str, path: str) -> bool:
        """Whether a request matches the method and the path."""
        return self.method in ("", method) and re.search(self.key, path) is not None

    def fails(self, count: int) -> bool:
        """Whether a matching request fails, after ``count`` earlier ones."""
        return count >= self.after and (self.times is None or count < self.after + self.times)


def read_rules(path: str | Path) -> tuple[Rule, ...]:
    """Read a JSON file: a list of objects with the fields of :class:`Rule`.

    Raises
    ------
    ConfigError
        If the file cannot be read, or does not contain rules.
    """
    form = '[{"refusal": "503", "method": "PUT", "key": "/c/", "after": 2, "times": 3, "each": false}, ...]'
    try:
        return tuple(Rule(**each) for each in json.loads(Path(path).read_bytes()))
    except OSError as error:
        raise ConfigError(f"the rules {path} cannot be read ({error.strerror}): give a JSON file") from None
    except ConfigError:
        raise
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"the file {path} holds no rules ({error}): write {form}") from None


@dataclass(slots=True)
class _Counted:
    """A rule and its count of matching requests."""

    rule: Rule
    seen: Counter[str] = field(default_factory=Counter)


class StoreProxy(ThreadedServer):
    """Forward requests to an S3, except those that a rule fails.

    Parameters
    ----------
    endpoint : str
        URL of the upstream S3.
    *rules : Rule
        Initial rules, as for :meth:`follow`.
    delay_s : float
        Delay of ``slow`` requests [s].
    host, port
        Address to listen on; by default a free port on the loopback interface.

    Raises
    ------
    ConfigError
        If the endpoint is not an ``http://`` URL.

    Examples
    --------
    >>> from hrrr_dask.testing import loopback_s3
    >>> with loopback_s3() as s3, StoreProxy(s3.endpoint) as proxy:
    ...     proxy.follow(Rule("503", method="PUT"))
    ...     print(proxy.url != s3.endpoint, proxy.begin("PUT", "/stores/a"), proxy.begin("GET", "/stores/a"))
    True 503 ok
    """

    def __init__(
        self, endpoint: str, *rules: Rule, delay_s: float = 0.2, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        parts = urlsplit(endpoint)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigError(f"the upstream S3 is {endpoint!r}: give it as http://HOST:PORT")
        self.upstream: tuple[str, int] = (parts.hostname, parts.port or 80)
        self.delay_s = delay_s
        self.requests: Counter[str] = Counter()
        self.served: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.follow(*rules)
        super().__init__(_Handler, host, port)

    def follow(self, *rules: Rule) -> None:
        """Replace the rules; counts start at zero."""
        with self._lock:
            self._rules = [_Counted(rule) for rule in rules]

    def begin(self, method: str, path: str) -> str:
        """Count a request and return its refusal, or ``ok``."""
        with self._lock:
            self.requests[method] += 1
            refusal = self._refusal(method, path)
            self.served[refusal] += 1
        return refusal

    def _refusal(self, method: str, path: str) -> str:
        for counted in self._rules:
            if counted.rule.matches(method, path):
                key = path if counted.rule.each else ""
                count, counted.seen[key] = counted.seen[key], counted.seen[key] + 1
                if counted.rule.fails(count):
                    return counted.rule.refusal
        return "ok"


class _Handler(Handler):
    def respond(self) -> None:
        proxy = cast("StoreProxy", self.owner)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        refusal = proxy.begin(self.command, urlsplit(self.path).path)
        if refusal == "reset":
            self.abort()
        elif refusal == "stall":
            self.stall()
        elif refusal in ("ok", "slow", "lost"):
            if refusal == "slow":
                proxy.closing.wait(proxy.delay_s)
            self._forward(proxy.upstream, body, lost=refusal == "lost")
        else:
            self._refuse(refusal)

    def _forward(self, upstream: tuple[str, int], body: bytes, *, lost: bool) -> None:
        connection = http.client.HTTPConnection(*upstream, timeout=_TIMEOUT_S)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(self.command, self.path, body or None, headers | _length(self.command, body))
            response = connection.getresponse()
            content = response.read()
        except OSError as error:
            self._send(502, _error("BadGateway", f"the upstream S3 does not respond: {error}"))
            return
        finally:
            connection.close()
        if lost:
            self.abort()
            return
        self._send(response.status, content, response.getheaders(), response.getheader("Content-Length"))

    def _refuse(self, refusal: str) -> None:
        code = _CODES.get(refusal, f"Scripted{refusal}")
        self._send(
            _STATUS.get(refusal) or int(refusal), _error(code, "scripted"), [("Content-Type", "application/xml")]
        )

    def _send(
        self, status: int, content: bytes, headers: list[tuple[str, str]] | None = None, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers or []:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        silent = self.command == "HEAD"
        self.send_header("Content-Length", length if silent and length else str(len(content)))
        self.end_headers()
        if not silent:
            self.wfile.write(content)


def _length(command: str, body: bytes) -> dict[str, Any]:
    return {"Content-Length": str(len(body))} if body or command in ("PUT", "POST") else {}


def _error(code: str, message: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    ).encode()
