"""The page of the dashboard says what the report says, for several runs at once, and is never a reason to fail."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np
import pytest
from distributed import Client, LocalCluster
from support import needs
from support.oracle import write_points
from support.prometheus import read_url
from support.secrets import MARK

import hrrr_dask
from hrrr_dask.dashboard import publish
from hrrr_dask.dashboard.page import MAX_RUNS, TOPIC, RunsPage
from hrrr_dask.dashboard.publish import describe, shown_on_page
from hrrr_dask.display.progress import Committed, Progress
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.records import GribFile
from hrrr_dask.testing import GridWindow, delete, drop_message, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
PLACES = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()
NAMES = ["temperature_2m", "relative_humidity_2m"]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def client():
    """One worker with two threads; its scheduler serves pages."""
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "n_workers": 1, "threads_per_worker": 2}
    with LocalCluster(**here, processes=False, protocol="tcp") as cluster, Client(cluster) as connected:
        yield connected


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    made = write_archive(
        tmp_path_factory.mktemp("archive"),
        init_times=[datetime(2024, 1, 1, h) for h in range(6)],
        lead_hours=[0, 1],
        window=WINDOW,
    )
    delete(made, GribFile(datetime(2024, 1, 1, 1), 0))
    drop_message(made, GribFile(datetime(2024, 1, 1, 2), 1), NAMES[0])
    return made


def address_of(client):
    return client.dashboard_link.removesuffix("/status") + "/hrrr"


def shown(client):
    """Runs on the page, by store."""
    return {run["store"]: run for run in json.loads(read_url(f"{address_of(client)}/data.json"))["runs"]}


def backfill(client, archive, place, store, last_hour=5, **settings):
    points = write_points(place / "p.csv", PLACES)
    settings = {"source": [str(archive.root)], "variables": NAMES, "lead_hours": (0, 1)} | settings
    period = datetime(2024, 1, 1), datetime(2024, 1, 1, last_hour)
    return hrrr_dask.backfill(points, *period, store, client=client, progress=False, **settings)


def test_the_page_of_a_run_has_the_figures_of_its_report(client, archive, tmp_path):
    report = backfill(client, archive, tmp_path, tmp_path / "s.zarr", dollars_per_core_hour=90.0)
    run = shown(client)[str(tmp_path / "s.zarr")]
    assert report.gaps == {"not-published": 2, "message-not-found": 1} == run["gaps"]
    assert run["meanings"] == {reason: OUTCOMES[reason].meaning for reason in report.gaps}
    assert (run["files_done"], run["files_total"]) == (report.files_read, 12) == (12, 12)
    assert [run[name] for name in ("bytes_read", "requests", "bytes_written", "steps_committed")] == [
        report.bytes_read,
        report.requests,
        report.bytes_written,
        report.partitions_written,
    ]
    assert (run["state"], run["ended"], run["remaining_s"], run["notice"]) == ("finished", True, None, "")
    assert all(run["seconds"][stage] > 0 for stage in ("source", "decode", "store"))
    assert 0 < run["core_hours"] * 3600 <= 2 * report.seconds
    assert run["dollars"] == pytest.approx(90 * run["core_hours"])


def test_the_page_needs_nothing_from_elsewhere(client):
    with shown_on_page(client, Progress(files_total=1), "/data/x.zarr", 0.05):
        text = read_url(address_of(client))
    assert "http" not in text.replace("http-equiv", "")
    assert "src=" not in text
    assert "innerHTML" not in text


def test_dask_keeps_its_own_pages_and_a_prefix_may_come_before_ours(client):
    with shown_on_page(client, Progress(files_total=1), "/data/x.zarr", 0.05):
        pass
    root = address_of(client).removesuffix("/hrrr")
    assert read_url(f"{root}/team/dask/hrrr").partition("nonce")[0] == read_url(f"{root}/hrrr/").partition("nonce")[0]
    assert "/data/x.zarr" in read_url(f"{root}/team/dask/hrrr/data.json")
    assert "ok" in read_url(f"{root}/health")
    assert "Dask" in read_url(f"{root}/status")


def test_two_backfills_at_once_have_the_figures_of_their_own_reports(client, archive, tmp_path):
    hours = {"a": 5, "b": 3}

    def work(name):
        (tmp_path / name).mkdir()
        return backfill(client, archive, tmp_path / name, tmp_path / f"{name}.zarr", last_hour=hours[name])

    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(work, hours))
    assert [report.files_read for report in reports] == [12, 8]
    runs = [shown(client)[str(tmp_path / f"{name}.zarr")] for name in hours]
    wanted = [(report.files_read, report.bytes_read, report.gaps) for report in reports]
    assert [(run["files_done"], run["bytes_read"], run["gaps"]) for run in runs] == wanted


def test_the_page_says_of_each_run_what_it_does_and_how_it_ended(client):
    slow, quick = Progress(files_total=10), Progress(files_total=4)
    slow.dashboard = client.dashboard_link
    with shown_on_page(client, slow, "/data/slow.zarr", 0.05):
        assert slow.page == address_of(client)
        slow.files_done = 5
        with pytest.raises(RuntimeError), shown_on_page(client, quick, "/data/quick.zarr", 0.05):
            raise RuntimeError(f"{MARK} is in its text")
        states = {store: run["state"] for store, run in shown(client).items()}
        assert states["/data/quick.zarr"] == "failed: RuntimeError"
        assert states["/data/slow.zarr"] == "reading"
        slow.committed = Committed(files=10)
    runs = shown(client)
    assert runs["/data/slow.zarr"]["state"] == "finished"
    assert MARK not in json.dumps(runs)


def test_a_run_that_stopped_early_says_so(client):
    with shown_on_page(client, Progress(files_total=3, interrupted=True), "/data/early.zarr", 0.05):
        pass
    assert shown(client)["/data/early.zarr"]["state"] == "interrupted"
    with pytest.raises(KeyboardInterrupt), shown_on_page(client, Progress(files_total=3), "/data/key.zarr", 0.05):
        raise KeyboardInterrupt
    assert shown(client)["/data/key.zarr"]["state"] == "interrupted"


def test_nothing_that_is_secret_is_published(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"{MARK}-in-the-environment")
    progress = Progress(files_total=1, notice=f"no worker: {MARK}-in-the-environment is refused")
    progress.sources_down = {
        f"https://me:{MARK}@example.org/hrrr?sig={MARK}": f"403 of https://me:{MARK}@example.org/hrrr?sig={MARK}"
    }
    run = describe(progress, f"icechunk+https://me:{MARK}@example.org/s.zarr?sig={MARK}", 0.05)
    assert MARK not in json.dumps(run)
    assert run["store"] == "https://example.org/s.zarr"
    assert list(run["sources_down"]) == ["https://example.org/hrrr"]


@pytest.mark.parametrize(
    ("progress", "state"),
    [
        (Progress(2), "reading"),
        (Progress(2, files_done=2), "committing"),
        (Progress(2, waiting=True), "waiting for workers"),
        (Progress(2, interrupted=True), "interrupted"),
        (Progress(2, interrupted=True, draining=True), "committing what is read"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_the_state_says_what_a_run_does(progress, state):
    run = describe(progress, "s.zarr", 0.05)
    assert (run["state"], run["ended"]) == (state, False)


def test_the_end_and_its_cost_follow_from_speed_and_threads():
    progress = Progress(100, files_done=40, core_s=3600.0, threads=8, fetch_s=1800.0, decode_s=600.0, write_s=300.0)
    run = describe(progress, "s.zarr", 0.5, files_s=2.0)
    assert run["remaining_s"] == 30
    assert run["dollars"] == 0.5
    assert run["dollars_expected"] == pytest.approx(0.5 + 8 * 30 / 3600 * 0.5)
    assert run["seconds"] == {"source": 1800.0, "decode": 600.0, "store": 300.0, "other": 900.0}
    assert run["slowest"] == "source"
    unknown = describe(progress, "s.zarr", 0.5)
    assert (unknown["remaining_s"], unknown["dollars_expected"]) == (None, None)


def test_the_speed_is_that_of_the_last_minutes(client, monkeypatch):
    monkeypatch.setattr(publish, "INTERVAL_S", 0.02)
    progress = Progress(files_total=1_000_000)
    with shown_on_page(client, progress, "/data/speed.zarr", 0.05):
        for _ in range(30):
            progress.files_done += 10
            time.sleep(0.02)
            run = shown(client)["/data/speed.zarr"]
    assert 0 < run["files_s"] <= 500
    assert run["remaining_s"] == pytest.approx((1_000_000 - run["files_done"]) / run["files_s"])


def test_only_the_newest_runs_are_kept_and_other_events_are_ignored():
    page = RunsPage()
    for number in range(MAX_RUNS + 5):
        page.log_event(TOPIC, {"run": f"{number}", "began": float(number)})
        page.log_event(TOPIC, {"run": "0", "began": 0.0})
    for topic, message in [("other", {"run": "x"}), (TOPIC, "x"), (TOPIC, {"run": 7}), (TOPIC, {})]:
        page.log_event(topic, message)
    names = [run["run"] for run in page.describe()["runs"]]
    assert names == [str(number) for number in range(MAX_RUNS + 4, 5, -1)] + ["0"]


def refuses(*_args, **_kwargs):
    raise ModuleNotFoundError("No module named 'hrrr_dask'")


def test_a_scheduler_that_refuses_the_page_does_not_stop_a_backfill(client, archive, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(RunsPage, "name", "another")  # else the scheduler has it already
    monkeypatch.setattr(RunsPage, "start", refuses)
    caplog.set_level(logging.INFO, "hrrr_dask")
    report = backfill(client, archive, tmp_path, tmp_path / "s.zarr", last_hour=0)
    assert report.files_read == 2
    (record,) = [record for record in caplog.records if record.name == "hrrr_dask.dashboard"]
    assert record.error.startswith("ModuleNotFoundError")
    assert str(tmp_path / "s.zarr") not in shown(client)


def test_a_run_goes_on_where_its_figures_cannot_be_published(client, archive, tmp_path, monkeypatch):
    monkeypatch.setattr(Client, "log_event", refuses)
    assert backfill(client, archive, tmp_path, tmp_path / "s.zarr", last_hour=0).files_read == 2


def test_a_scheduler_that_hangs_delays_the_end_of_a_run_by_seconds_at_most(client, monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(publish, "CLOSING_S", 0.1)
    monkeypatch.setattr(Client, "log_event", lambda *_: released.wait(60))
    try:
        with shown_on_page(client, Progress(files_total=1), "/data/hangs.zarr", 0.05):
            pass
        assert any(thread.name == "hrrr-dask-page" for thread in threading.enumerate()), "it still waits"
    finally:
        released.set()


def test_dasks_own_page_tells_the_stages_apart(client, archive, tmp_path):
    backfill(client, archive, tmp_path, tmp_path / "s.zarr", last_hour=1)
    deadline = time.monotonic() + 20

    def activities(dask_scheduler):
        return [
            list(key[1:]) for key in dask_scheduler.cumulative_worker_metrics if key[0] == "execute" and len(key) == 4
        ]

    wanted = [["extract", "source", "seconds"], ["extract", "decode", "seconds"], ["write", "store", "seconds"]]
    while not all(each in client.run_on_scheduler(activities) for each in wanted):
        assert time.monotonic() < deadline, client.run_on_scheduler(activities)
        time.sleep(0.1)

    def spans(dask_scheduler):
        return [span.name for span in dask_scheduler.extensions["spans"].spans.values()]

    assert any(name[0] == "hrrr-dask" for name in client.run_on_scheduler(spans))


def grow_silent(dask_scheduler, figures):
    page = dask_scheduler.plugins[RunsPage.name]
    page.log_event(TOPIC, figures)
    page._runs[figures["run"]]["heard"] -= 125


def test_a_browser_draws_names_as_text_and_says_which_run_is_silent(client, tmp_path):
    progress = Progress(files_total=8, files_done=4, notice=HOSTILE)
    progress.sources_down = {HOSTILE: HOSTILE}
    progress.gaps_by_reason.update({HOSTILE: 3, "not-published": 2})
    profile, home = tmp_path / "profile", {**os.environ, "HOME": str(tmp_path)}
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--dump-dom"]
    with shown_on_page(client, progress, f"/data/{HOSTILE}.zarr", 0.05):
        client.run_on_scheduler(grow_silent, figures=describe(Progress(9), "/data/killed.zarr", 0.05))
        command = [needs.browser(), *flags, "--virtual-time-budget=4000", address_of(client)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=home, check=True)
    assert "<img" not in done.stdout
    assert f"/data/{HOSTILE}.zarr".replace("<", "&lt;").replace(">", "&gt;") in done.stdout
    assert "4 of 8" in done.stdout
    assert done.stdout.count("no news for 2 min") == 1
    assert OUTCOMES["not-published"].meaning in done.stdout
