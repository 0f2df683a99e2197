"""Write ``dashboard.json``, for Grafana 10 or newer: import it, and choose the Prometheus that scrapes Dask.

Usage: python cluster/monitoring/dashboard.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

PAGE = Path(__file__).with_suffix(".json")

HERE = 'dask_org_cluster_name=~"$cluster"'
"""Labels of the chosen clusters. All also chooses what has no such label: a cluster outside Kubernetes."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}

WIDTH = 24
"""Columns of Grafana's grid."""


class Panel(NamedTuple):
    """A panel: what it is called, how it is drawn, and its queries, by their legend."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    description: str = ""
    width: int = 8
    height: int = 8
    stack: bool = False
    thresholds: tuple[tuple[float | None, str], ...] = ((None, "green"),)


def rate(metric: str, by: str = "") -> str:
    """Query of a counter's increase in a second, by a label."""
    name, _, labels = metric.partition("{")
    own = ", ".join(filter(None, (labels.removesuffix("}"), HERE)))
    return f"sum{f' by ({by})' if by else ''} (rate({name}{{{own}}}[$__rate_interval]))"


def quantile(q: float, metric: str, by: str = "") -> str:
    """Query of a histogram's quantile, by a label."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{HERE}}}[$__rate_interval])))"


AGE = (
    "time() - max by (store) (max_over_time(hrrr_dask_newest_run_timestamp_seconds[7d]) "
    'or max_over_time(hrrr_dask_command_newest_run_timestamp_seconds{command="update"}[7d]))'
)

GAP_RATIO = (
    f"sum (rate(hrrr_dask_values_missing_total{{{HERE}}}[$__rate_interval])) / ("
    f"sum (rate(hrrr_dask_values_missing_total{{{HERE}}}[$__rate_interval])) + "
    f"sum (rate(hrrr_dask_values_written_total{{{HERE}}}[$__rate_interval])))"
)

ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel(
            "Age of the newest run",
            {"{{store}}": AGE},
            "s",
            "stat",
            "Time since the init time of the newest run with values. A run is complete in the archive after about two "
            "hours.",
            width=6,
            height=5,
            thresholds=((None, "green"), (3 * 3600.0, "orange"), (6 * 3600.0, "red")),
        ),
        Panel("Files a second", {"files": rate("hrrr_dask_files_total")}, "short", "stat", width=5, height=5),
        Panel(
            "Gaps of all values",
            {"gaps": GAP_RATIO},
            "percentunit",
            "stat",
            width=4,
            height=5,
            thresholds=((None, "green"), (0.01, "orange"), (0.1, "red")),
        ),
        Panel("Workers", {"workers": f"sum (dask_scheduler_workers{{{HERE}}})"}, "short", "stat", width=4, height=5),
        Panel(
            "Sources that are down",
            {"sources": f"count (max by (source) (hrrr_dask_source_down{{{HERE}}}) == 1) or vector(0)"},
            "short",
            "stat",
            width=5,
            height=5,
            thresholds=((None, "green"), (1.0, "red")),
        ),
    ),
    "Throughput": (
        Panel(
            "Files by outcome",
            {"{{outcome}}": rate("hrrr_dask_files_total", "outcome")},
            "cps",
            description="Partial: some values are missing. Missing: all are.",
            stack=True,
        ),
        Panel(
            "Bytes read by source, and written",
            {
                "{{source}}": rate("hrrr_dask_read_bytes_total", "source"),
                "written": rate("hrrr_dask_written_bytes_total"),
            },
            "Bps",
        ),
        Panel(
            "Values written",
            {"values": rate("hrrr_dask_values_written_total")},
            "cps",
            description="A step of a partition is committed as a whole, so values come in bursts.",
        ),
    ),
    "Gaps and sources": (
        Panel(
            "Gaps by reason",
            {"{{reason}}": rate("hrrr_dask_values_missing_total", "reason") + " > 0"},
            "cps",
            description="Values a second. not-published is normal while a run is young; hrrr-dask status --gaps lists "
            "every gap.",
            stack=True,
        ),
        Panel("Retries by source", {"{{source}}": rate("hrrr_dask_retries_total", "source")}, "reqps"),
        Panel("Requests by source", {"{{source}}": rate("hrrr_dask_requests_total", "source")}, "reqps"),
    ),
    "From the archive to the store": (
        Panel(
            "From publication to the store",
            {f"{q:.0%}": quantile(q, "hrrr_dask_publication_to_store_seconds") for q in (0.5, 0.9, 0.99)},
            "s",
            description="Of files published less than two days before.",
            width=12,
        ),
        Panel("Age of the newest run by store", {"{{store}}": AGE}, "s", width=12),
    ),
    "What is slow": (
        Panel(
            "Download of a file by source",
            {
                "{{source}} 50%": quantile(0.5, "hrrr_dask_fetch_seconds", "source"),
                "{{source}} 95%": quantile(0.95, "hrrr_dask_fetch_seconds", "source"),
            },
            "s",
        ),
        Panel(
            "Decoding of a file",
            {f"{q:.0%}": quantile(q, "hrrr_dask_decode_seconds") for q in (0.5, 0.95)},
            "s",
        ),
        Panel(
            "Commit of a step",
            {f"{q:.0%}": quantile(q, "hrrr_dask_write_seconds") for q in (0.5, 0.95)},
            "s",
        ),
    ),
    "Workers": (
        Panel(
            "Memory of the workers",
            {"{{type}}": f"sum by (type) (dask_worker_memory_bytes{{{HERE}}})"},
            "bytes",
            description="Spilled bytes are on disk.",
            stack=True,
        ),
        Panel(
            "Workers by state",
            {"{{state}}": f"sum by (state) (dask_scheduler_workers{{{HERE}}})"},
            stack=True,
        ),
        Panel(
            "Tasks lost with their worker",
            {"tasks": f"sum (increase(dask_scheduler_tasks_suspicious_total{{{HERE}}}[15m]))"},
            description="In a quarter of an hour. Workers that drain lose none.",
        ),
    ),
    "Commands": (
        Panel(
            "Exit code of the last run",
            {"{{command}} {{store}}": "max by (command, store) (hrrr_dask_command_exit_code)"},
            "none",
            "stat",
            "0 done, 1 failed, 2 usage, 3 done with gaps.",
            thresholds=((None, "green"), (1.0, "red"), (3.0, "orange")),
        ),
        Panel(
            "Time since the last run",
            {"{{command}} {{store}}": "time() - max by (command, store) (hrrr_dask_command_end_timestamp_seconds)"},
            "s",
            "stat",
        ),
        Panel(
            "Gaps of the last run by reason",
            {"{{command}} {{reason}}": "sum by (command, reason) (hrrr_dask_command_gaps) > 0"},
            "short",
            "stat",
        ),
    ),
}
"""Rows from the top, and their panels from the left."""


def panels() -> Iterator[dict[str, Any]]:
    """Rows and panels as Grafana takes them, with their places."""
    number, y = 1, 0
    for title, row in ROWS.items():
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y},
            "panels": [],
        }
        number, x, y = number + 1, 0, y + 1
        for panel in row:
            place = {"h": panel.height, "w": panel.width, "x": x, "y": y}
            yield draw(panel, number, place)
            number, x = number + 1, x + panel.width
        y += max(panel.height for panel in row)


def draw(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    """A panel as Grafana takes it."""
    lines = {
        "drawStyle": "line",
        "fillOpacity": 20 if panel.stack else 0,
        "lineWidth": 1,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stack else "none", "group": "A"},
    }
    steps = [{"value": value, "color": color} for value, color in panel.thresholds]
    stat = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "textMode": "auto"}
    series = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": lines if panel.kind == "timeseries" else {},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": stat if panel.kind == "stat" else series,
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend}
            for n, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def variables() -> list[dict[str, Any]]:
    """What is chosen at the top: the Prometheus, and clusters."""
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1},
        {
            "name": "cluster",
            "label": "Cluster",
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": "label_values(dask_scheduler_workers, dask_org_cluster_name)", "refId": "cluster"},
            "refresh": 2,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def write() -> str:
    """The dashboard as JSON."""
    made = {
        "uid": "hrrr-dask",
        "title": "hrrr-dask",
        "description": "Throughput, gaps, latency and workers of hrrr_dask. Made by cluster/monitoring/dashboard.py.",
        "tags": ["dask", "hrrr"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": list(panels()),
    }
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
