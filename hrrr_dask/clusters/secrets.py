"""Refuses secrets in a manifest, which everyone who may read pods could see. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from hrrr_dask.errors import ConfigError

__all__ = ["refuse_secrets"]

_NAME: Final = re.compile(
    r"secret|token|passw|passphrase|credential|bearer|private|(api|access|account|storage|shared|ssh)_?key"
    r"|(^|_)(key|sas|pwd|auth)$",
    re.IGNORECASE,
)
_PATH: Final = re.compile(r"_(FILE|PATH|DIR|URI|ENDPOINT)$", re.IGNORECASE)
"""Names of variables that say where a secret is, not what it is."""

_VALUE: Final = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # an AWS key
    r"|-----BEGIN [A-Z ]*(PRIVATE KEY|CERTIFICATE)"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\."  # a JSON Web Token
    r"|\bAccountKey=|\bSharedAccessSignature=|[?&]sig="  # Azure
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bxox[abprs]-"
    r"|://[^/\s:@]+:[^/\s@]+@"  # a password in a URL
    r'|"private_key"'
)
_RANDOM: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9+/]{40}")
"""Pattern of a secret access key of AWS; a commit's digest has no capitals."""


def refuse_secrets(manifest: Any) -> None:
    """Refuse environment variables that look like secrets, wherever in a manifest.

    References to a Secret (``valueFrom``, ``secretRef``) are allowed.

    Raises
    ------
    ConfigError
        If there are any; names the variable, never its value.
    """
    for variable in _variables(manifest):
        name, value = str(variable.get("name", "")), str(variable.get("value") or "")
        looks = _VALUE.search(value) or _RANDOM.fullmatch(value) or (_NAME.search(name) and not _PATH.search(name))
        if value and looks:
            raise ConfigError(
                f"environment variable {name} looks like a secret, which a manifest must not contain: put it into a "
                f"Secret (kubectl create secret generic NAME --from-env-file FILE) and name that in kubernetes.secrets"
            )


def _variables(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "env" and isinstance(value, list):
                yield from (item for item in value if isinstance(item, Mapping) and "value" in item)
            else:
                yield from _variables(value)
    elif isinstance(part, list | tuple):
        for item in part:
            yield from _variables(item)
