"""Dashboard, rules and Alertmanager's configuration: programs accept them, and they use metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import yaml
from support import needs
from support.monitoring import MONITORING, dashboard, grouped_by, metrics_in, queries, rules
from support.paths import ROOT
from support.prometheus import read_url, samples
from support.scripts import load_script

from hrrr_dask.telemetry.definitions import COMMAND_METRICS, WORKER_METRICS

METRICS = {**WORKER_METRICS, **COMMAND_METRICS}
OWN_SERIES = {series: metric for metric in METRICS.values() for series in metric.series}
FROM_SCRAPING = {"namespace", "dask_org_cluster_name", "le"}
ALERTS = [rule for rule in rules() if "alert" in rule]
EXPRESSIONS = {**queries(), **{rule.get("alert") or rule["record"]: rule["expr"] for rule in rules()}}


@pytest.fixture(scope="module")
def dask_series():
    """Each metric of Dask to the names of its labels, from a scheduler and a worker."""
    needs.extra("prometheus_client")
    from distributed import Client, LocalCluster

    here = {"host": "127.0.0.1", "protocol": "tcp", "worker_dashboard_address": "127.0.0.1:0"}
    here |= {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with LocalCluster(**here) as cluster, Client(cluster) as client:
        client.submit(sum, [1], key="extract-20240101T00-f00-0").result(timeout=60)
        servers = [cluster.scheduler.http_server, next(iter(cluster.workers.values())).http_server]
        pages = [read_url(f"http://127.0.0.1:{server.port}/metrics") for server in servers]
    return {name: {label for label, _ in labels} for page in pages for name, labels in samples(page)}


def test_the_dashboard_is_what_its_script_makes():
    made = load_script(MONITORING / "dashboard.py").write()
    assert (MONITORING / "dashboard.json").read_text() == made, "run: python cluster/monitoring/dashboard.py"


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_query_uses_metrics_and_labels_that_there_are(name, dask_series):
    query = EXPRESSIONS[name]
    found = metrics_in(query)
    assert found or "hrrr:" in query
    known = set(FROM_SCRAPING)
    for metric, labels in found.items():
        own = set(OWN_SERIES[metric].labels) if metric in OWN_SERIES else dask_series[metric]
        assert labels <= own | FROM_SCRAPING, metric
        known |= own
    assert grouped_by(query) <= known
    for labels in re.findall(r"\{\{ ?(?:\$labels\.)?(\w+) ?\}\}", name):
        assert labels in grouped_by(query), "a legend shows a label that the query drops"


def test_a_query_selects_values_of_labels_that_there_are():
    for query in EXPRESSIONS.values():
        for metric, label, values in re.findall(r'(hrrr_dask_\w+)\{(reason|outcome)[=!]~?"([^"]*)"', query):
            assert set(values.split("|")) <= set(OWN_SERIES[metric].values), label


def test_every_metric_that_a_person_asked_for_is_drawn():
    drawn = {name for query in queries().values() for name in metrics_in(query)}
    assert {name for name, metric in WORKER_METRICS.items() if not set(metric.series) & drawn} == set()
    assert "dask_worker_memory_bytes" in drawn


def test_the_panels_fill_rows_without_overlap():
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    cells = [
        (at["x"] + column, at["y"] + line) for at in places for column in range(at["w"]) for line in range(at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(places)
    for panel in dashboard()["panels"]:
        assert panel["type"] in ("row", "stat", "timeseries")
        assert len({target["refId"] for target in panel.get("targets", ())}) == len(panel.get("targets", ()))


@needs.program("promtool")
def test_promtool_accepts_every_query(tmp_path):
    recorded = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(queries().values())]
    path = tmp_path / "queries.json"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    done = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(recorded)} rules found" in done.stdout


@needs.program("promtool")
def test_promtool_accepts_the_configuration_with_the_rules(tmp_path):
    document = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(document["spec"]))  # yq .spec
    (tmp_path / "prometheus.yml").write_bytes((MONITORING / "prometheus.yml").read_bytes())
    command = ["promtool", "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules())} rules found" in done.stdout


@needs.program("amtool")
def test_amtool_accepts_the_configuration_of_alertmanager():
    command = ["amtool", "check-config", MONITORING / "alertmanager.yml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs.program("amtool")
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_reaches_those_that_its_severity_says(alert):
    severity = alert["labels"]["severity"]
    command = ["amtool", "config", "routes", "test", "--config.file", MONITORING / "alertmanager.yml"]
    done = subprocess.run([*command, f"severity={severity}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == {"critical": "pagerduty,slack", "warning": "slack"}[severity]


def test_the_configuration_of_alertmanager_holds_no_secret():
    text = (MONITORING / "alertmanager.yml").read_text()
    assert set(re.findall(r"(\w*(?:api_url|password|routing_key|service_key)\w*):", text)) == {
        "slack_api_url_file",
        "smtp_auth_password_file",
        "routing_key_file",
    }


def test_the_operations_page_says_what_to_do_about_each_alert():
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(Hrrr\w+)` \|(.*)\|$", page, re.MULTILINE)
    assert [name for name, _ in listed] == sorted(rule["alert"] for rule in ALERTS)
    for name, text in listed:
        assert len(text.split()) > 8, name


A = {"store": "s3://b/a.zarr"}
CLUSTER = {"namespace": "hrrr", "dask_org_cluster_name": "c"}
YOUNG = {**CLUSTER, "reason": "not-published"}
DAMAGED = {**CLUSTER, "reason": "truncated"}
AWS = {**CLUSTER, "source": "aws"}
UPDATE = {**A, "command": "update"}
BACKFILL = {**A, "command": "backfill"}
NEWEST = "hrrr_dask_newest_run_timestamp_seconds"
BY_COMMAND = "hrrr_dask_command_newest_run_timestamp_seconds"
MISSING = "hrrr_dask_values_missing_total"
WRITTEN = "hrrr_dask_values_written_total"
DOWN = "hrrr_dask_source_down"
EXIT = "hrrr_dask_command_exit_code"


def series(name, values, labels, **more):
    """Values of a series, as promtool takes them: 0+1x60 is an increase by one a minute for an hour."""
    text = ",".join(f'{key}="{value}"' for key, value in {**labels, **more}.items())
    return {"series": f"{name}{{{text}}}", "values": values}


CASES = [
    ("HrrrStoreStale", "3h", [series(NEWEST, "0x400", A)], []),
    ("HrrrStoreStale", "3h15m", [series(NEWEST, "0x400", A)], [A]),
    ("HrrrStoreStale", "3h15m", [series(NEWEST, "0x400", A), series(NEWEST, "3600x400", A, instance="b")], []),
    ("HrrrStoreStale", "6h", [series(NEWEST, "0 0 0 stale", A)], [A]),  # its worker ended
    ("HrrrStoreStale", "6h", [series(BY_COMMAND, "0x400", UPDATE)], [A]),
    ("HrrrStoreStale", "6h", [series(BY_COMMAND, "0x400", BACKFILL)], []),
    ("HrrrStoreStale", "6h", [series(NEWEST, "-700000x400", A)], []),  # a backfill of old years
    ("HrrrGaps", "30m", [series(MISSING, "0+1x60", DAMAGED), series(WRITTEN, "0+20x60", CLUSTER)], [CLUSTER]),
    ("HrrrGaps", "30m", [series(MISSING, "0+1x60", DAMAGED), series(WRITTEN, "0+200x60", CLUSTER)], []),
    ("HrrrGaps", "30m", [series(MISSING, "0+9x60", YOUNG), series(WRITTEN, "0+20x60", CLUSTER)], []),
    ("HrrrSourceDown", "10m", [series(DOWN, "1x20", AWS)], [AWS]),
    ("HrrrSourceDown", "10m", [series(DOWN, "1 1 1 0x20", AWS)], []),
    ("HrrrCommandFailed", "5m", [series(EXIT, "0x10", UPDATE)], []),
    ("HrrrCommandFailed", "5m", [series(EXIT, "1x10", UPDATE)], [UPDATE]),
    ("HrrrCommandFailed", "5m", [series(EXIT, "2x10", UPDATE)], [UPDATE]),
    ("HrrrCommandFailed", "5m", [series(EXIT, "3x10", UPDATE)], []),
]
"""Alert, when it is looked at, what there was since 1970, and the labels with which it fires."""


@needs.program("promtool")
def test_an_alert_fires_for_what_it_is_about_and_for_nothing_else(tmp_path):
    severity = {alert["alert"]: alert["labels"]["severity"] for alert in ALERTS}

    def case(name, at, given, expected):
        fired = [{"exp_labels": {**labels, "severity": severity[name]}} for labels in expected]
        return {
            "interval": "1m",
            "input_series": given,
            "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": fired}],
        }

    without_texts = [{key: value for key, value in rule.items() if key != "annotations"} for rule in rules()]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "all", "rules": without_texts}]}))
    tests = {"rule_files": ["rules.json"], "evaluation_interval": "1m", "tests": [case(*each) for each in CASES]}
    (tmp_path / "tests.json").write_text(json.dumps(tests))
    command = ["promtool", "test", "rules", tmp_path / "tests.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
