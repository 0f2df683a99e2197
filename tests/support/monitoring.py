"""What ``cluster/monitoring/`` has: the alerts, and the queries of the dashboard without Grafana's variables."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from support.paths import ROOT

MONITORING = ROOT / "cluster" / "monitoring"


def rule_groups() -> list[dict[str, Any]]:
    """Groups of the rules, as a Prometheus without operator takes them."""
    return yaml.safe_load((MONITORING / "rules.yaml").read_text())["spec"]["groups"]


def rules() -> list[dict[str, Any]]:
    return [rule for group in rule_groups() for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    return json.loads((MONITORING / "dashboard.json").read_text())


def queries(interval: str = "1m", cluster: str = ".*") -> dict[str, str]:
    """Panel and legend to the query that Grafana would send."""
    return {
        f"{panel['title']}: {target['legendFormat']}": target["expr"]
        .replace("$__rate_interval", interval)
        .replace("$cluster", cluster)
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    }


def metrics_in(query: str) -> dict[str, set[str]]:
    """Each metric of this package or of Dask in a query, to the labels that select its series."""
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"\b((?:hrrr_dask|dask_(?:worker|scheduler))_\w+)(?:\{([^}]*)\})?", query):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels))
    return found


def grouped_by(query: str) -> set[str]:
    """Labels after ``by`` and ``on``."""
    return {label.strip() for labels in re.findall(r"\b(?:by|on) \(([^)]*)\)", query) for label in labels.split(",")}
