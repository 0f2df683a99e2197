"""Reads Prometheus' text format, with a parser of our own: sums of a metric's series over several pages."""

from __future__ import annotations

import re
import urllib.request
from collections import Counter
from collections.abc import Iterable

_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


def read_url(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Name and labels of each series to its value."""
    return {
        (name, frozenset(re.findall(r'(\w+)="([^"]*)"', labels or ""))): float(value)
        for name, labels, value in _LINE.findall(text)
    }


def total(pages: Iterable[str], name: str, **labels: str) -> float:
    """Sum of the series of a metric that have these labels."""
    wanted = labels.items()
    return sum(
        value for page in pages for (each, own), value in samples(page).items() if each == name and wanted <= set(own)
    )


def by_label(pages: Iterable[str], name: str, label: str) -> dict[str, float]:
    """Sums of the series of a metric that are not 0, by one of its labels."""
    found: Counter[str] = Counter()
    for page in pages:
        for (each, own), value in samples(page).items():
            if each == name and value:
                found[dict(own)[label]] += value
    return dict(found)
