"""Settings below ``kubernetes:``, with their types and defaults.

:class:`hrrr_dask.clusters.spec.KubernetesSpec` documents each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hrrr_dask.errors import ConfigError

__all__ = ["FREE_FORM", "POD_SETTINGS", "check_free_form", "nest_options"]

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
"""Keys whose contents are passed on as given, with names of Kubernetes or of the user."""


def check_free_form(key: str, value: Any, default: Any) -> Any:
    """Check the type of a setting whose contents are passed on as given.

    Parameters
    ----------
    key : str
        Full key of the setting.
    value : object
        The given value.
    default : list or dict
        A value of the right type.

    Raises
    ------
    ConfigError
        If the type is another one.
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


def nest_options(given: Mapping[str, str]) -> dict[str, Any]:
    """Convert ``KEY=VALUE`` options of the command line to nested settings.

    Examples
    --------
    >>> nest_options({"image": "x:1", "env.TZ": "UTC", "secrets": "a,b", "node-selector.example.com/pool": "big"})
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
    """Return a value as text: YAML reads ``on: true`` and ``80`` where Kubernetes expects strings."""
    if isinstance(value, Mapping | list | tuple) or value is None:
        raise ConfigError(f"setting {key} is text, not {value!r}")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
