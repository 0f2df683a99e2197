"""What may stand under ``kubernetes:`` in the settings, and what holds when nobody says otherwise.

:class:`hrrr_dask.clusters.spec.KubernetesSpec` says what each of them means.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hrrr_dask.errors import ConfigError

__all__ = ["FREE_FORM", "POD_SETTINGS", "free_form", "nested"]

POD_SETTINGS: Final[dict[str, Any]] = {
    "image": "",
    "name": "hrrr-dask",
    "namespace": "",
    "cpu": "1",
    "memory": "6Gi",
    "scheduler-cpu": "1",
    "scheduler-memory": "4Gi",
    "spot": False,
    "tolerations": [],
    "node-selector": {},
    "service-account": "",
    "env": {},
    "secrets": [],
    "extra-pod-spec": {},
    "extra-scheduler-pod-spec": {},
    "start-timeout-s": 600.0,
    "idle-timeout-s": 3600,
}
"""Keys, their types and defaults."""

FREE_FORM: Final = ("node-selector", "env", "extra-pod-spec", "extra-scheduler-pod-spec", "tolerations")
"""Keys whose contents have Kubernetes' or the user's own names, which are taken as they are written."""


def free_form(key: str, value: Any, default: Any) -> Any:
    """Take a setting whose contents are not ours as it is, if it is of the right kind.

    Parameters
    ----------
    key : str
        Of the setting, in full.
    value : object
        As given.
    default : list or dict
        Of the right kind.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if isinstance(default, list):
        if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
            raise ConfigError(f"setting {key} is a list of mappings as in a manifest, not {value!r}")
        return [dict(item) for item in value]
    if not isinstance(value, Mapping):
        raise ConfigError(f"setting {key} is a mapping as in a manifest, not {value!r}")
    if key.endswith("pod-spec"):
        return dict(value)
    return {str(name): _text(f"{key}.{name}", item) for name, item in value.items()}


def nested(given: Mapping[str, str]) -> dict[str, Any]:
    """Bring ``KEY=VALUE`` options of the command line into the form of the settings.

    Examples
    --------
    >>> nested({"image": "x:1", "env.TZ": "UTC", "secrets": "a,b", "node-selector.example.com/pool": "big"})
    {'image': 'x:1', 'env': {'TZ': 'UTC'}, 'secrets': 'a,b', 'node-selector': {'example.com/pool': 'big'}}
    """
    settings: dict[str, Any] = {}
    for option, value in given.items():
        section, dot, name = option.partition(".")
        if dot and section in ("env", "node-selector"):
            settings.setdefault(section, {})[name] = value
        else:
            settings[option] = _number(value) if isinstance(POD_SETTINGS.get(option), int | float) else value
    return settings


def _text(key: str, value: Any) -> str:
    """YAML reads ``on: true`` and ``80`` where Kubernetes wants text."""
    if isinstance(value, Mapping | list | tuple) or value is None:
        raise ConfigError(f"setting {key} is text, not {value!r}")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
