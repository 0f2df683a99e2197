"""A real Prometheus scrapes a backfill, and a real Alertmanager passes on what goes wrong in it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import yaml
from distributed import Client, LocalCluster
from support import needs
from support.monitoring import MONITORING, queries, rule_groups
from support.oracle import write_points
from support.prometheus import read_url
from support.sinks import HttpSink

import hrrr_dask
from hrrr_dask.job.tasks import WarmStart
from hrrr_dask.records import GribFile
from hrrr_dask.telemetry import metrics
from hrrr_dask.telemetry.definitions import FILE_OUTCOMES
from hrrr_dask.testing import GridWindow, drop_message, truncate, write_archive

pytestmark = [needs.program("prometheus"), needs.program("prometheus-alertmanager")]
REGISTRY = needs.extra("prometheus_client").REGISTRY

WINDOW = GridWindow(288, 794, 8, 10)
PLACES = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()
NAMES = ["temperature_2m", "relative_humidity_2m"]
LEADS = (0, 1)
PATIENCE_S = 180
"""Longest wait for something that takes seconds on an idle machine [s]."""

FIRED = {"HrrrStoreStale", "HrrrGaps", "HrrrSourceDown", "HrrrWorkersLost"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, what):
    """Wait until a function returns something true, and return that."""
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        try:
            if found := condition():
                return found
        except OSError:
            pass  # the server is still starting
        time.sleep(0.5)
    return pytest.fail(f"not within {PATIENCE_S} s: {what}")


def alerts_in(sink):
    """Receiver and alert of all that Alertmanager has sent."""
    messages = [json.loads(each.body) for each in sink.received]
    return [(message["receiver"], alert) for message in messages for alert in message["alerts"]]


@contextmanager
def program(log, *command):
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def alertmanager(work, hook):
    """Alertmanager with our routes; every receiver is the webhook, and nothing waits."""
    config = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    config["receivers"] = [
        {"name": receiver["name"], "webhook_configs": [{"url": hook, "send_resolved": False}]}
        for receiver in config["receivers"]
    ]
    config["global"] = {}
    config["route"] |= {"group_wait": "100ms", "group_interval": "1s"}
    (work / "alertmanager.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    options = ("--storage.path", work / "alertmanager", "--cluster.listen-address=")
    address = f"--web.listen-address=127.0.0.1:{port}"
    name = shutil.which("prometheus-alertmanager")
    with program(work / "alertmanager.log", name, "--config.file", work / "alertmanager.yml", *options, address):
        until(lambda: read_url(f"http://127.0.0.1:{port}/-/ready"), "Alertmanager is ready")
        yield f"127.0.0.1:{port}"


@contextmanager
def prometheus(work, targets, manager):
    """Prometheus with our rules, which look and fire every second; yields a function that evaluates a query."""
    groups = rule_groups()
    for group in groups:
        group["interval"] = "1s"
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "1s"
    (work / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [manager]
    discovery = {"files": ["targets.json"], "refresh_interval": "1s"}
    config["scrape_configs"] = [{"job_name": "dask", "file_sd_configs": [discovery]}]
    (work / "prometheus.yml").write_text(yaml.safe_dump(config))
    (work / "targets.json").write_text(json.dumps([{"targets": targets}]))
    port = free_port()
    options = ("--storage.tsdb.path", work / "tsdb", f"--web.listen-address=127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}"

    def query(text):
        answer = json.loads(read_url(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': text})}"))
        assert answer["status"] == "success", answer
        return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]

    with program(work / "prometheus.log", "prometheus", "--config.file", work / "prometheus.yml", *options):
        until(lambda: read_url(f"{url}/-/ready"), "Prometheus is ready")
        yield query


@pytest.fixture
def _counts_nothing(monkeypatch):
    """This process, whose page is the scheduler's, shows no counts of other tests, and counts nothing."""
    for metric in (metrics._made or {}).values():
        REGISTRY.unregister(metric)
    monkeypatch.setattr(metrics, "_made", {})
    yield
    monkeypatch.setattr(metrics, "_made", None)  # made again by whoever counts next


@pytest.mark.usefixtures("_counts_nothing")
def test_prometheus_has_the_figures_of_the_report_and_each_alert_fires(tmp_path):
    newest = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0) - timedelta(hours=5)
    runs = [newest - timedelta(hours=hour) for hour in range(24)]
    archive = write_archive(tmp_path / "archive", init_times=runs, lead_hours=LEADS, window=WINDOW)
    truncate(archive, GribFile(runs[3], 0), 100)
    drop_message(archive, GribFile(runs[4], 1), NAMES[0])
    dead = f"http://127.0.0.1:{free_port()}/hrrr"
    request = {
        "points": write_points(tmp_path / "points.csv", PLACES),
        "start": runs[-1],
        "end": newest,
        "progress": False,
        "variables": NAMES,
        "lead_hours": LEADS,
    }
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "n_workers": 2, "threads_per_worker": 2}
    with ExitStack() as stack:
        sink = stack.enter_context(HttpSink())
        manager = stack.enter_context(alertmanager(tmp_path, sink.url))
        cluster = stack.enter_context(LocalCluster(**here))
        client = stack.enter_context(Client(cluster))
        client.register_plugin(WarmStart("auto"))  # as the preload of a worker does
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        services = [worker["services"]["dashboard"] for worker in workers]
        targets = [f"127.0.0.1:{port}" for port in (cluster.scheduler.http_server.port, *services)]
        query = stack.enter_context(prometheus(tmp_path, targets, manager))

        def sums(metric, label):
            return {found[label]: value for found, value in query(f"sum by ({label}) ({metric}) > 0")}

        def total(metric):
            return sum(value for _, value in query(f"sum({metric})"))

        until(lambda: query("count(up == 1)") and query("count(up == 1)")[0][1] == 3, "all three are scraped")
        until(lambda: len(query('hrrr_dask_values_missing_total{reason="truncated"}')) == 2, "there is a first value")
        assert sums("hrrr_dask_files_total", "outcome") == {}

        report = hrrr_dask.backfill(
            **request, store=tmp_path / "a.zarr", client=client, source=[dead, str(archive.root)]
        )

        assert report.files_read == len(runs) * len(LEADS)
        until(lambda: total("hrrr_dask_written_bytes_total") == report.bytes_written, "the last commit is scraped")
        files = sums("hrrr_dask_files_total", "outcome")
        assert set(files) <= set(FILE_OUTCOMES)
        assert sum(files.values()) == report.files_read
        assert files["complete"] == report.files_read - 2
        # The source that is down might have had what the other one lacks.
        assert sums("hrrr_dask_values_missing_total", "reason") == report.gaps == {"unreachable": 3}
        assert total("hrrr_dask_values_written_total") == sum(report.decoded_by.values())
        assert total("hrrr_dask_requests_total") == report.requests
        assert total("hrrr_dask_read_bytes_total") == report.bytes_read
        assert set(report.skipped_sources) == {dead}
        assert set(sums("hrrr_dask_source_down", "source")) == {dead}
        assert report.newest_run == newest
        for name, text in queries("5m").items():
            if not any(word in name for word in ("last run", "Exit code")):
                until(lambda text=text: query(text), f"there is something to draw: {name}")  # after two scrapes

        pids = client.run(os.getpid)
        again = {**request, "store": tmp_path / "b.zarr", "client": client, "source": [str(archive.root)]}
        busy = threading.Thread(target=hrrr_dask.backfill, kwargs={**again, "files_per_task": "24"})
        busy.start()

        def reading():
            return next((w.address for w in list(cluster.scheduler.workers.values()) if w.processing), None)

        give_up = time.monotonic() + PATIENCE_S
        while not (address := reading()) and time.monotonic() < give_up:
            time.sleep(0.001)
        os.kill(pids[address], signal.SIGKILL)

        def fired():
            return {alert["labels"]["alertname"] for _, alert in alerts_in(sink)} >= FIRED

        until(fired, f"{FIRED} of {tmp_path}")
        busy.join(PATIENCE_S)
        assert not busy.is_alive()

    alerts = {alert["labels"]["alertname"]: alert for _, alert in alerts_in(sink)}
    receivers = {name: {to for to, alert in alerts_in(sink) if alert["labels"]["alertname"] == name} for name in alerts}
    assert set(alerts) <= FIRED | {"HrrrWorkersMissing", "HrrrNothingMoves"}
    assert alerts["HrrrStoreStale"]["labels"]["store"].endswith(".zarr")
    assert alerts["HrrrStoreStale"]["annotations"]["summary"].endswith("old")
    assert alerts["HrrrSourceDown"]["labels"]["source"] == dead
    assert receivers["HrrrStoreStale"] == {"pagerduty", "slack"}
    assert receivers["HrrrGaps"] == {"slack"}
