"""Checks and normalises URLs of stores and sources, and their options.

=============  ===============================================================================================
URL            options
=============  ===============================================================================================
``s3://…``     ``anonymous``, ``endpoint``, ``region``, ``virtual_hosted_style`` (the endpoint then names the
               bucket), ``allow_http``
``gs://…``     ``anonymous``, ``endpoint``, ``allow_http``
``http(s)://`` none
``file://…``   none; a path is taken as one
=============  ===============================================================================================

Options are saved in the store and appear in messages, so they never contain secrets. An ``http://`` endpoint is used
as given; ``allow_http=false`` refuses it.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from hrrr_dask.errors import ConfigError

__all__ = ["ICECHUNK", "NO_OPTIONS", "check_options", "local_path", "normal_url", "plain_url", "redact_url"]

NO_OPTIONS: Final[Mapping[str, str]] = MappingProxyType({})

ICECHUNK: Final = "icechunk+"
"""Prefix of a URL or a path whose arrays are in an Icechunk repository."""

_ICECHUNK_SCHEMES: Final = ("s3", "file")

_OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "s3": ("anonymous", "endpoint", "region", "virtual_hosted_style", "allow_http"),
    "gs": ("anonymous", "endpoint", "allow_http"),
    "http": (),
    "https": (),
    "file": (),
}
"""Options of each scheme."""

_BOOLEANS: Final = {"true": "true", "1": "true", "yes": "true", "false": "false", "0": "false", "no": "false"}
_OTHERS_SAY: Final = {
    "anon": "anonymous",
    "skip_signature": "anonymous",
    "endpoint_url": "endpoint",
    "base_url": "endpoint",
    "region_name": "region",
    "virtual_hosted_style_request": "virtual_hosted_style",
}
"""Names of options in fsspec, boto3 and obstore, and their names here."""

_LOST_SLASH: Final = re.compile(rf"({'|'.join(_OPTIONS)}):/(?!/)")
"""A URL that was made a path: ``str(Path("s3://bucket"))`` is ``s3:/bucket``."""

_SECRET: Final = re.compile(r"secret|token|passw|credential|bearer|private|account_?key|access_?key|^key$|^sas")


def normal_url(text: str) -> str:
    """Normalise a URL or a path, without checking that it exists.

    Parameters
    ----------
    text : str
        ``s3://bucket/prefix``, ``gs://``, ``http(s)://``, ``file://`` or a path, which is made absolute; the first
        and the last two with ``icechunk+`` before them, too.

    Returns
    -------
    str
        A URL without a slash at its end.

    Raises
    ------
    ConfigError
        If the scheme is another one or lacks a slash, the host or bucket is missing, or the URL holds a credential or a
        query.

    Examples
    --------
    >>> normal_url("s3://bucket/some/prefix/")
    's3://bucket/some/prefix'
    >>> normal_url("/data/hrrr/")
    'file:///data/hrrr'
    >>> normal_url("icechunk+/data/hrrr")
    'icechunk+file:///data/hrrr'
    """
    if text.startswith(ICECHUNK):
        return ICECHUNK + _place_of_a_repository(text.removeprefix(ICECHUNK))
    if _LOST_SLASH.match(text):
        raise ConfigError(f"{text!r} has one slash after its scheme, as pathlib writes URLs: give the URL as a string")
    if "://" not in text:
        return Path(text).expanduser().absolute().as_uri()
    parts = _split(text)
    if parts.scheme not in _OPTIONS:
        raise ConfigError(
            f"{parts.scheme}:// is not a kind of storage known here: write s3://, gs://, http(s)://, file:// or a path"
        )
    if parts.scheme == "file":
        if parts.netloc or not parts.path.startswith("/"):
            raise ConfigError(
                f"{redact_url(text)!r} does not name a directory of this machine: write file:///absolute/path"
            )
        return Path(unquote(parts.path)).as_uri()
    if not parts.netloc:
        raise ConfigError(f"{redact_url(text)!r} names no bucket or host: write it as {parts.scheme}://NAME/prefix")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def _place_of_a_repository(text: str) -> str:
    if not text or text.startswith(ICECHUNK):
        raise ConfigError(
            "icechunk+ is allowed once, at the start: write icechunk+s3://bucket/prefix or icechunk+/path"
        )
    url = normal_url(text)
    if (scheme := urlsplit(url).scheme) not in _ICECHUNK_SCHEMES:
        raise ConfigError(
            f"a repository of Icechunk on {scheme}:// is not known here: write icechunk+s3://bucket/prefix or "
            f"icechunk+/path, or leave icechunk+ out for a plain store"
        )
    return url


def plain_url(url: str) -> str:
    """Return a URL without ``icechunk+``.

    Examples
    --------
    >>> plain_url("icechunk+s3://bucket"), plain_url("s3://bucket")
    ('s3://bucket', 's3://bucket')
    """
    return url.removeprefix(ICECHUNK)


def redact_url(text: str) -> str:
    """Return a URL for messages, without what may be a password or a signature.

    Examples
    --------
    >>> redact_url("https://me:hunter2@example.org/p.csv?X-Amz-Signature=hunter2")
    'https://…@example.org/p.csv?…'
    """
    return re.sub(r"\?.*", "?…", re.sub(r"[^/\s]*@", "…@", text), flags=re.DOTALL)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigError("a URL cannot be read: its host is malformed") from None
    if "@" in parts.netloc or parts.query or parts.fragment:
        # The URL is not repeated: the parts before @ and after ? are often secrets.
        raise ConfigError(
            f"a {parts.scheme}:// URL holds a user, password or query: leave it out and give credentials by the "
            "environment or the cloud's own configuration; URLs are saved with the store"
        )
    return parts


def local_path(url: str) -> Path | None:
    """Return the directory of a ``file://`` URL, also with ``icechunk+``; None for any other URL.

    Examples
    --------
    >>> local_path("s3://bucket") is None
    True
    """
    plain = plain_url(url)
    return Path(unquote(urlsplit(plain).path)) if plain.startswith("file://") else None


def check_options(url: str, options: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Check and normalise the options of a URL.

    Parameters
    ----------
    url : str
        As :func:`normal_url` returns it.
    options : mapping of str to str
        See the module's table.

    Returns
    -------
    tuple of (str, str)
        Sorted; booleans are ``true`` and ``false``.

    Raises
    ------
    ConfigError
        If an option is unknown for this URL, looks like a secret, or has an invalid value.

    Examples
    --------
    >>> check_options("s3://bucket", {"region": "eu-west-1", "anonymous": "yes"})
    (('anonymous', 'true'), ('region', 'eu-west-1'))
    """
    scheme = urlsplit(plain_url(url)).scheme
    checked = {key: _checked_value(key, str(value)) for key, value in options.items() if _is_known(key, scheme)}
    endpoint = checked.get("endpoint", "")
    if endpoint.startswith("http://") and checked.get("allow_http") == "false":
        raise ConfigError(f"endpoint {endpoint} is not encrypted: write https://, or leave out allow_http=false")
    return tuple(sorted(checked.items()))


def _is_known(key: str, scheme: str) -> bool:
    known = _OPTIONS[scheme]
    if key in known:
        return True
    if key not in _OTHERS_SAY and _SECRET.search(key.lower()):
        raise ConfigError(
            f"option {key!r} looks like a secret: give credentials by the environment or the cloud's own "
            "configuration (such as AWS_PROFILE or a role); options are saved with the store"
        )
    near = [_OTHERS_SAY[key]] if key in _OTHERS_SAY else difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near and near[0] in known else ""
    raise ConfigError(f"option {key!r} is unknown for {scheme}://: {hint}It takes {', '.join(known) or 'no options'}")


def _checked_value(key: str, value: str) -> str:
    if key in ("anonymous", "allow_http", "virtual_hosted_style"):
        if value.lower() not in _BOOLEANS:
            raise ConfigError(f"option {key} is true or false, not {value!r}")
        return _BOOLEANS[value.lower()]
    if key == "endpoint":
        parts = _split(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ConfigError(f"option endpoint is a URL such as https://s3.example.org, not {redact_url(value)!r}")
        return value.rstrip("/")
    if not value:
        raise ConfigError(f"option {key} is empty: give it a value or leave it out")
    return value
