"""Reads, checks and merges settings: flags, environment, YAML files and defaults.

Flags override ``DASK_HRRR__…`` environment variables, which override ``hrrr:`` in Dask's YAML files, which override
:data:`DEFAULTS`. Unknown keys are errors.
"""

from __future__ import annotations

import copy
import difflib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import dask.config

from hrrr_dask.catalog.lead_times import LAST_LEAD_HOUR, expand_lead_hours, file_hour, parse_lead_times
from hrrr_dask.catalog.products import ARCHIVE_START, DOMAINS, PRODUCTS
from hrrr_dask.catalog.variables import Variable, default_variables, parse_variables
from hrrr_dask.config.kubernetes import FREE_FORM, POD_SETTINGS, check_free_form
from hrrr_dask.errors import ConfigError

__all__ = [
    "DEFAULTS",
    "Method",
    "Selection",
    "parse_hours",
    "parse_selection",
    "resolve_settings",
]

Method = Literal["nearest", "bilinear"]

FILES_AT_ONCE: Final = 4
"""Files that a worker of a local cluster reads concurrently: while one is decoded, without the GIL, others are
downloaded."""

DEFAULTS: Final[dict[str, Any]] = {
    "variables": [],
    "product": "sfc",
    "domain": "conus",
    "cycles": "0-23",
    "lead-hours": "0-18",
    "lead-times": "",
    "method": "nearest",
    "source": ["aws"],
    "source-options": {},
    "store-options": {},
    "engine": "auto",
    "cluster": "local",
    "workers": 0,
    "adapt": "",
    "kubernetes": POD_SETTINGS,
    "threads": FILES_AT_ONCE,
    "worker-timeout-s": 600.0,
    "deadline": "2h",
    "memory-limit-mb": 4096,
    "axis-start": f"{ARCHIVE_START:%Y-%m-%d}",
    "partition-days": 0,
    "shard-points": 0,
    "chunk-points": 0,
    "files-per-task": "auto",
    "dollars-per-core-hour": 0.045,
    "fetch": {
        "attempts": 5,
        "timeout-s": 60.0,
        "small-timeout-s": 10.0,
        "connect-timeout-s": 5.0,
        "read-timeout-s": 5.0,
        "backoff-s": 0.5,
        "max-backoff-s": 20.0,
        "concurrency": 8,
        "outage-limit-s": 40.0,
        "merge-gap-kb": 256,
        "prefix-reads": True,
    },
}
"""All settings with their types and defaults. Without ``variables``, those of
:func:`~hrrr_dask.catalog.variables.default_variables` are read. If ``lead-times`` is given, it is used instead of
``lead-hours``. For ``workers``, ``partition-days``, ``shard-points`` and ``chunk-points``, 0 means chosen by the
machine or by the layout rule; for ``worker-timeout-s``, without a limit."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Variables, lead times, cycles, product, domain and method of a store, fixed when it is created."""

    variables: tuple[Variable, ...]
    """Variables in the given order."""
    lead_minutes: tuple[int, ...]
    """Ascending lead times [min]."""
    cycles: tuple[int, ...] = tuple(range(24))
    """Ascending hours of the day at which runs start [h UTC]."""
    product: str = "sfc"
    """Name in :data:`hrrr_dask.catalog.products.PRODUCTS`."""
    domain: str = "conus"
    """Name in :data:`hrrr_dask.catalog.products.DOMAINS`."""
    method: Method = "nearest"
    """Interpolation from cells to points."""

    def __post_init__(self) -> None:
        _one_of("product", self.product, PRODUCTS)
        _one_of("domain", self.domain, DOMAINS)
        _one_of("method", self.method, get_args(Method))
        if not self.variables or not self.lead_minutes or not self.cycles:
            raise ConfigError("a selection names at least one variable, one lead time and one cycle")

    @property
    def file_hours(self) -> tuple[int, ...]:
        """For each lead time, the hour that names its file."""
        return tuple(file_hour(lead) for lead in self.lead_minutes)

    @property
    def leads_per_file(self) -> int:
        """Maximum number of lead times in one file."""
        return max(Counter(self.file_hours).values())


def parse_selection(settings: Mapping[str, Any]) -> Selection:
    """Make the selection from resolved settings.

    Raises
    ------
    ConfigError
        If a part is unknown or out of range.
    """
    product = str(settings["product"])
    _one_of("product", product, PRODUCTS)
    variables = parse_variables(_as_list(settings["variables"] or default_variables(product)))
    return Selection(
        variables=variables,
        lead_minutes=_parse_leads(settings, product),
        cycles=parse_hours(settings["cycles"], "cycles", 23),
        product=product,
        domain=str(settings["domain"]),
        method=settings["method"],
    )


def _parse_leads(settings: Mapping[str, Any], product: str) -> tuple[int, ...]:
    hours = parse_hours(settings["lead-hours"], "lead hours", LAST_LEAD_HOUR)
    if settings["lead-times"]:
        return parse_lead_times(settings["lead-times"], product)
    return expand_lead_hours(hours, product)


def parse_hours(text: str | int | Iterable[int], what: str, last: int) -> tuple[int, ...]:
    """Parse a list of hours such as ``0-18``, ``0,6,12-15`` or ``0-48/3``.

    Parameters
    ----------
    text : str, int or iterable of int
        Hours and ranges (both ends included, ``/3`` for every third hour), separated by commas.
    what : str
        Name of the setting, for errors.
    last : int
        The largest hour allowed [h].

    Returns
    -------
    tuple of int
        Ascending and unique [h].

    Raises
    ------
    ConfigError
        If a part is not an hour or an ascending range, exceeds ``last``, or has a step of 0.

    Examples
    --------
    >>> parse_hours("0,6,12-14", "cycles", 23)
    (0, 6, 12, 13, 14)
    """
    if not isinstance(text, str):
        text = str(text) if isinstance(text, int) else ",".join(str(hour) for hour in text)
    hours: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})\s*(?:-\s*(\d{1,3})\s*(?:/\s*(\d{1,3})\s*)?)?", part)
        first, final, step = (int(match[1]), int(match[2] or match[1]), int(match[3] or 1)) if match else (1, 0, 1)
        if first > final or final > last or not step:
            raise ConfigError(
                f"{what} {text!r}: {part.strip()!r} is not an hour or a range within 0-{last}, like 0-18 or 0-18/3"
            )
        hours.update(range(first, final + 1, step))
    return tuple(sorted(hours))


def resolve_settings(**flags: Any) -> dict[str, Any]:
    """Merge defaults, Dask's configuration and flags.

    Parameters
    ----------
    **flags
        Settings by name with underscores; None means "not given".

    Returns
    -------
    dict
        Every key of :data:`DEFAULTS`.

    Raises
    ------
    ConfigError
        If a key is unknown or a value has the wrong type.
    """
    settings = copy.deepcopy(DEFAULTS)
    configured = dask.config.get("hrrr", {}) or {}
    _refuse_no_section("hrrr", configured, DEFAULTS)
    _merge(settings, configured, "hrrr.")
    given = {key.replace("_", "-"): value for key, value in flags.items() if value is not None}
    if "lead-hours" in given:
        if "lead-times" in given:
            raise ConfigError("lead-hours and lead-times say the same in two ways: give one of them")
        settings["lead-times"] = ""  # a flag is stronger than the configuration
    _merge(settings, given, "")
    if "variables" in given and not settings["variables"]:
        raise ConfigError("no variables are named: leave --variables out for those that are read by default")
    return settings


def _merge(into: dict[str, Any], update: Mapping[str, Any], prefix: str) -> None:
    for raw_key, value in update.items():
        key = str(raw_key).replace("_", "-")
        if key not in into:
            near = difflib.get_close_matches(key, into, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known are {', '.join(into)}"
            raise ConfigError(f"setting {prefix}{key} is unknown: {hint}")
        default = into[key]
        if key in ("source-options", "store-options"):
            _refuse_no_section(prefix + key, value, ("endpoint", "region", "…"))
            into[key] = {str(name): str(option) for name, option in value.items()}
        elif key in FREE_FORM:
            into[key] = check_free_form(prefix + key, value, default)
        elif isinstance(default, dict):
            _refuse_no_section(prefix + key, value, default)
            _merge(default, value, f"{prefix}{key}.")
        else:
            into[key] = _like(default, value, prefix + key)


def _refuse_no_section(key: str, value: Any, keys: Iterable[str]) -> None:
    if not isinstance(value, Mapping):
        raise ConfigError(f"setting {key} is a section with keys {', '.join(keys)}, not {value!r}")


def _like(default: Any, value: Any, key: str) -> Any:
    if key.endswith("cpu") and isinstance(value, float):  # as YAML reads 0.5
        return str(value)
    if isinstance(default, list | str):
        words = _words(value)
        if words is None:
            raise ConfigError(f"setting {key} is text or a list of it, not {value!r}")
        if key.endswith("source"):
            return words  # a path can contain commas
        return _as_list(words) if isinstance(default, list) else ",".join(words)
    if isinstance(default, bool):
        return _yes_or_no(value, key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"setting {key} is a number, not {value!r}")
    if value < 0 or not math.isfinite(value) or (isinstance(default, int) and value != int(value)):
        raise ConfigError(
            f"setting {key} is a {'whole ' if isinstance(default, int) else ''}number from 0 on, not {value}"
        )
    return type(default)(value)


def _yes_or_no(value: Any, key: str) -> bool:
    word = str(value).lower()
    if word not in ("true", "false"):
        raise ConfigError(f"setting {key} is true or false, not {value!r}")
    return word == "true"


def _words(value: Any) -> list[str] | None:
    """Return the text or texts of a setting; None if it is neither."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, int) and not isinstance(value, bool):  # a single hour, as YAML and the environment read it
        return [str(value)]
    if isinstance(value, Iterable) and not isinstance(value, Mapping | bytes):
        return [str(item) for item in value]
    return None


def _as_list(value: Any) -> list[str]:
    items = value.split(",") if isinstance(value, str) else value
    return [part.strip() for item in items for part in str(item).split(",") if part.strip()]


def _one_of(what: str, value: str, known: Iterable[str]) -> None:
    known = list(known)
    if value not in known:
        near = difflib.get_close_matches(str(value), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"take one of {', '.join(known)}"
        raise ConfigError(f"{what} {value!r} is unknown: {hint}")
