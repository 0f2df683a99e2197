"""An update that waits: files that appear while it runs are read in batches, whatever their order."""

from __future__ import annotations

import os
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from support.oracle import as_bits, content_digests, ledger_keys, without_dask

import hrrr_dask
from hrrr_dask import api
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection, resolve_settings
from hrrr_dask.errors import ConfigError, SourceDownError
from hrrr_dask.job import backfill as job_backfill
from hrrr_dask.job import pipeline, request, until_complete
from hrrr_dask.job.loop import RunResult
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.planning.plan import iter_partitions
from hrrr_dask.planning.runs import newest_run
from hrrr_dask.records import GribFile
from hrrr_dask.report.arrivals import Arrival
from hrrr_dask.testing import FaultServer, GridWindow, expected_field, write_archive
from hrrr_dask.testing.archive import published_at

WINDOW = GridWindow(288, 794, 8, 10)
CELL = 2, 3
RUN = datetime(2024, 1, 2, 12)
BEFORE = RUN - timedelta(hours=12)
LEADS = (0, 1, 2, 18)
START = RUN + timedelta(minutes=48)


def minutes(after):
    return RUN + timedelta(minutes=after)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What NOAA has in the end: the run that is waited for, and the one before it."""
    return write_archive(
        tmp_path_factory.mktemp("whole"), init_times=[BEFORE, RUN], lead_hours=LEADS, variables=["temperature_2m"],
        decoys=False, window=WINDOW,
    )  # fmt: skip


class Feed:
    """An archive in which objects appear as a clock moves, which only pauses of the command move."""

    def __init__(self, whole, root):
        self.whole, self.root, self.now = whole, root, START
        self.pauses, self.events = [], []
        for file in whole.files:
            for path in (whole.path(file), whole.inventory_path(file)):
                self.plan(path, published_at(file))

    def plan(self, path, when, size=None):
        """Let an object appear at that time, or the beginning of it."""
        self.events.append((when, path, size))

    def change(self, lead, when, *, idx=None):
        """Let a file of the run come at another time, its inventory too unless that has its own; None for never."""
        file = next(file for file in self.whole.files if (file.init_time, file.lead_hours) == (RUN, lead))
        paths = {self.whole.path(file): when, self.whole.inventory_path(file): idx or when}
        self.events = [event for event in self.events if event[1] not in paths]
        for path, moment in paths.items():
            if moment is not None:
                self.plan(path, moment)
        return self.whole.path(file)

    def publish(self):
        for when, path, size in sorted(self.events, key=lambda event: event[0]):
            to = self.root / path.relative_to(self.whole.root)
            if when > self.now or (to.exists() and to.stat().st_mtime == when.replace(tzinfo=UTC).timestamp()):
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
            if size is not None:
                os.truncate(to, size)
            os.utime(to, (when.replace(tzinfo=UTC).timestamp(),) * 2)

    def pause(self, stop, seconds):
        self.pauses.append(seconds)
        assert len(self.pauses) < 500, "the wait does not end"
        self.now += timedelta(seconds=seconds)
        self.publish()


def make_feed(whole, tmp_path, monkeypatch):
    made = Feed(whole, tmp_path / "archive")
    made.publish()

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return made.now.replace(tzinfo=tz)

    for module in (api, request, until_complete):
        monkeypatch.setattr(module, "utc_now", lambda: made.now)
    monkeypatch.setattr(pipeline, "datetime", Clock)
    monkeypatch.setattr(until_complete, "_pause", made.pause)
    return made


@pytest.fixture
def feed(whole, tmp_path, monkeypatch):
    return make_feed(whole, tmp_path, monkeypatch)


@pytest.fixture
def client():
    with without_dask() as connected:
        yield connected


@pytest.fixture
def store(feed, client, tmp_path):
    """A store with the run before."""
    return make_store(tmp_path / "x.zarr", str(feed.root), client)


def make_store(path, source, client, **more):
    latitude, longitude = WINDOW.latlon(*np.array([CELL], dtype=float).T)
    points = pd.DataFrame({"point_id": ["a"], "latitude": latitude, "longitude": longitude})
    wanted = {"cycles": [0, 12], "lead_hours": LEADS, "variables": ["temperature_2m"], "partition_days": 1} | more
    report = hrrr_dask.backfill(points, BEFORE, BEFORE, str(path), client=client, source=source, **wanted)
    assert report.outcome == "done"
    return str(path)


@pytest.fixture
def commits(monkeypatch):
    """Labels of the files of each batch."""
    found, real = [], until_complete.read_missing

    def read(request, store, values, *more):
        partitions = iter_partitions(request.plan, request.axis, values)
        found.append(sorted(one.file.label[9:] for partition in partitions for one in partition.readings))
        return real(request, store, values, *more)

    monkeypatch.setattr(until_complete, "read_missing", read)
    return found


def wait(store, client, **more):
    return hrrr_dask.update(store, client=client, until_complete=True, **more)


def assert_right(store, missing=()):
    with hrrr_dask.open_dataset(store) as found:
        for k, lead in enumerate(LEADS):
            value = found.temperature_2m.sel(init_time=RUN).isel(lead_time=k).values
            if lead in missing:
                assert np.isnan(value).all()
            else:
                assert np.array_equal(
                    as_bits(value), as_bits([expected_field("temperature_2m", RUN, 60 * lead, WINDOW)[CELL]])
                )


def test_files_are_committed_as_they_come_and_the_report_says_how_late_they_were(store, feed, client, commits):
    began = time.perf_counter()
    report = wait(store, client)
    assert report.seconds == pytest.approx(time.perf_counter() - began, rel=0.5), "of the whole wait"
    assert (report.outcome, report.files_read, report.files_done_before, report.gaps) == ("done", 4, 4, {})
    assert commits[0] == ["12-f00"], "what is there is committed without waiting for the rest"
    assert commits[-1] == ["12-f18"]
    assert_right(store)
    rows = to_dataframe(store)
    rows = rows[rows.init_time == RUN].set_index("lead_hours")
    assert [each.file for each in report.arrivals] == [f"20240102T12-f{lead:02d}" for lead in LEADS]
    for lead, each in zip(LEADS, report.arrivals, strict=True):
        assert each.published == published_at(GribFile(RUN, lead)) == rows.published[lead]
        assert each.committed == rows.ingested[lead]
        assert each.publication_s == (each.published - RUN).total_seconds()
        assert 0 <= each.commit_s <= until_complete.MAX_POLL_S
    table = dict(report.tables()[0].rows)
    assert table["published"] == "51 to 86 min, median 54 min, slowest 20240102T12-f18, after the init time"
    assert table["committed"].endswith("after the publication")


def test_a_second_run_changes_nothing(store, feed, client):
    first = wait(store, client)
    before = content_digests(store), ledger_keys(store)
    feed.pauses.clear()
    again = wait(store, client)
    assert (again.files_read, again.outcome, feed.pauses) == (0, "done", [])
    assert (content_digests(store), ledger_keys(store)) == before
    assert again.arrivals == first.arrivals


def test_files_in_another_order_are_read_when_they_come(store, feed, client, commits):
    for lead, after in zip(LEADS, (86, 70, 60, 52), strict=True):
        feed.change(lead, minutes(after))
    assert wait(store, client).outcome == "done"
    assert commits == [["12-f18"], ["12-f02"], ["12-f01"], ["12-f00"]]
    assert_right(store)


def test_a_file_that_is_an_hour_late_is_waited_for_with_growing_pauses(store, feed, client, commits):
    feed.change(1, minutes(115))
    report = wait(store, client)
    assert report.outcome == "done"
    assert commits[-1] == ["12-f01"]
    assert report.arrivals[1].publication_s == 115 * 60
    assert max(feed.pauses) == until_complete.MAX_POLL_S
    assert len(feed.pauses) < 80
    assert_right(store)


def test_a_file_that_never_comes_is_a_gap_at_the_deadline_which_the_next_update_fills(store, feed, client):
    feed.change(2, None)
    report = wait(store, client, deadline="50min")
    assert (report.outcome, report.exit_code, report.gaps) == ("done-with-gaps", 3, {"not-published": 1})
    assert report.first_files_with_gaps == ("20240102T12-f02",)
    assert feed.now == START + timedelta(minutes=50)
    assert report.arrivals[2] == Arrival("20240102T12-f02", None, None, None, None)
    assert dict(report.tables()[0].rows)["not there"] == "20240102T12-f02"
    assert len(to_dataframe(store).query("outcome == 'not-published'")) == 1, "noted once, not at each look"
    assert_right(store, missing=[2])
    feed.change(2, minutes(97))
    feed.publish()
    again = hrrr_dask.update(store, client=client, end=RUN)
    assert (again.files_read, again.outcome) == (1, "done")
    assert_right(store)


def test_no_file_is_waited_for_longer_than_two_hours_after_it_is_due(store, feed, client):
    feed.change(2, None)
    report = wait(store, client, deadline="9h")
    assert report.gaps == {"not-published": 1}
    due = published_at(GribFile(RUN, 2)) + until_complete.OVERDUE
    assert due <= feed.now < due + timedelta(seconds=until_complete.MAX_POLL_S)


def test_an_inventory_before_its_file_and_a_file_that_grows_are_not_read_yet(store, feed, client, commits):
    path = feed.change(1, minutes(75), idx=minutes(55))
    feed.plan(path, minutes(60), size=path.stat().st_size // 2)
    feed.plan(path, minutes(61), size=path.stat().st_size - 7)
    report = wait(store, client)
    assert report.outcome == "done"
    assert commits.count(["12-f01"]) == 1
    assert report.arrivals[1].published == minutes(75)
    rows = to_dataframe(store)
    assert set(rows.outcome) == {"complete"}, "nothing was noted while the file was incomplete"
    assert_right(store)


def test_a_file_without_an_inventory_is_read_when_its_size_stays(store, feed, client):
    path = feed.change(1, minutes(55))
    feed.events = [event for event in feed.events if event[1] != path.with_name(f"{path.name}.idx")]
    report = wait(store, client)
    assert report.outcome == "done"
    assert 300 <= report.arrivals[1].commit_s <= 300 + until_complete.MAX_POLL_S
    assert_right(store)


def test_a_source_that_is_down_in_between_is_waited_for(store, feed, client, monkeypatch):
    real, seen = until_complete.read_missing, []

    def read(*args):
        if minutes(53) < feed.now < minutes(70):
            seen.append(feed.now)
            raise SourceDownError("no source of the archive responds")
        return real(*args)

    monkeypatch.setattr(until_complete, "read_missing", read)
    report = wait(store, client)
    assert len(seen) > 1
    assert (report.outcome, report.gaps) == ("done", {})
    assert_right(store)


def test_a_file_whose_reading_fails_is_read_again_after_a_while_and_at_the_deadline(store, feed, client, monkeypatch):
    batches = {lead: [] for lead in LEADS}

    def read(request, store, values, *_):
        for partition in iter_partitions(request.plan, request.axis, values):
            for reading in partition.readings:
                batches[reading.file.lead_hours].append(feed.now)
        return store, RunResult((), interrupted=False)

    monkeypatch.setattr(until_complete, "read_missing", read)
    wait(store, client, deadline="40min")
    latest = until_complete.UNCHANGED + timedelta(seconds=until_complete.MAX_POLL_S)
    for lead, times in batches.items():
        if lead < 18:
            apart = np.diff(times)
            assert len(apart) >= 4, f"f{lead:02d}"
            assert apart[:-1].min() >= until_complete.UNCHANGED, f"f{lead:02d}"
            assert apart.max() <= latest, f"f{lead:02d}"
        assert times[-1] == START + timedelta(minutes=40), f"f{lead:02d}"


def test_a_source_that_is_down_at_the_deadline_is_an_error_and_no_gap(store, feed, client, monkeypatch):
    def read(*_):
        raise SourceDownError("no source of the archive responds")

    monkeypatch.setattr(until_complete, "read_missing", read)
    with pytest.raises(SourceDownError):
        wait(store, client)
    assert set(to_dataframe(store).outcome) == {"complete"}


def test_a_web_server_is_asked_for_the_files_that_are_due_only(feed, client, tmp_path):
    feed.change(18, minutes(86))
    with FaultServer(feed.root) as server:
        store = make_store(tmp_path / "x.zarr", server.url, client)
        server.requests.clear()
        report = wait(store, client)
        assert report.outcome == "done"
        last = "/hrrr.20240102/conus/hrrr.t12z.wrfsfcf18.grib2"
        assert 1 < server.requests[last] < 15
    assert_right(store)


def test_the_source_that_has_a_file_first_is_read(feed, client, whole, tmp_path):
    second = tmp_path / "second"
    shutil.copytree(whole.root, second)
    store = make_store(tmp_path / "x.zarr", [str(feed.root), str(second)], client)
    report = wait(store, client)
    assert (report.outcome, report.files_read, feed.pauses) == ("done", 4, [])
    assert_right(store)


def test_a_wait_that_is_stopped_keeps_what_is_read_and_goes_on_later(store, feed, client, monkeypatch):
    pause = feed.pause

    def stopped(stop, seconds):
        pause(stop, seconds)
        if feed.now > minutes(60):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(until_complete, "_pause", stopped)
    report = wait(store, client)
    assert (report.outcome, report.exit_code) == ("interrupted", 1)
    assert 0 < report.files_read < 4
    assert report.gaps == {}
    monkeypatch.setattr(until_complete, "_pause", pause)
    again = wait(store, client)
    assert (again.outcome, again.files_read) == ("done", 4 - report.files_read)
    assert len(to_dataframe(store)) == 8, "nothing was read twice"
    assert_right(store)


def test_one_cluster_serves_all_batches_and_starts_with_the_first_file(store, feed, client, monkeypatch, commits):
    started = []

    def connect(*_):
        started.append(feed.now)
        return real(*_)

    real = job_backfill.connect
    monkeypatch.setattr(until_complete, "connect", connect)
    wait(store, client)
    assert len(commits) > 2
    (when,) = started
    assert when >= minutes(51)


def test_the_runs_before_are_filled_at_once(store, feed, client, commits):
    shutil.rmtree(store)
    make_store(store, str(feed.root), client)
    earlier = to_dataframe(store)
    assert len(earlier) == 4
    feed.now = minutes(48) + timedelta(hours=12)
    feed.publish()
    report = wait(store, client)
    assert commits[0] == [f"12-f{lead:02d}" for lead in LEADS]
    assert report.outcome == "done-with-gaps", "the run at 00 never comes"
    assert_right(store)


@pytest.mark.parametrize(
    ("product", "window", "leads"),
    [("subh", WINDOW, "0-1"), ("sfc", GridWindow(300, 400, 8, 10, "alaska"), "0-1")],
    ids=["subh", "alaska"],
)
def test_sub_hourly_files_and_alaska_are_waited_for(product, window, leads, tmp_path, monkeypatch, client):
    whole = write_archive(
        tmp_path / "whole", init_times=[BEFORE, RUN], lead_hours=(0, 1), variables=["temperature_2m"], decoys=False,
        window=window, product=product,
    )  # fmt: skip
    feed = make_feed(whole, tmp_path, monkeypatch)
    latitude, longitude = window.latlon(*np.array([CELL], dtype=float).T)
    points = pd.DataFrame({"point_id": ["a"], "latitude": latitude, "longitude": longitude})
    store = str(tmp_path / "x.zarr")
    wanted = {"cycles": [0, 12], "lead_hours": leads, "variables": ["temperature_2m"], "partition_days": 1}
    hrrr_dask.backfill(
        points, BEFORE, BEFORE, store, client=client, source=str(feed.root), product=product, domain=window.domain,
        **wanted,
    )  # fmt: skip
    report = wait(store, client)
    assert (report.outcome, report.files_read) == ("done", 2)
    assert [each.publication_s for each in report.arrivals] == [51 * 60, 53 * 60]
    with hrrr_dask.open_dataset(store) as found:
        values = found.temperature_2m.sel(init_time=RUN).values[:, 0]
        minutes_ahead = (found.lead_time.values / np.timedelta64(1, "m")).astype(int)
    right = [expected_field("temperature_2m", RUN, int(lead), window)[CELL] for lead in minutes_ahead]
    assert np.array_equal(as_bits(values), as_bits(right))


def selection(lead_hours, cycles=range(24), **more):
    leads = tuple(60 * hour for hour in lead_hours)
    return Selection(parse_variables(["temperature_2m"]), leads, tuple(cycles), **more)


@pytest.mark.parametrize(
    ("what", "now", "newest"),
    [
        (selection([0, 18]), "2024-01-02T12:40", "2024-01-02T11"),
        (selection([0, 18]), "2024-01-02T12:41", "2024-01-02T12"),
        (selection([18]), "2024-01-02T13:15", "2024-01-02T11"),
        (selection([24, 48]), "2024-01-02T14:45", "2024-01-02T12"),
        (selection([0], cycles=[0, 12]), "2024-01-02T11:00", "2024-01-02T00"),
        (selection([0], domain="alaska"), "2024-01-02T14:59", "2024-01-02T12"),
    ],
)
def test_the_newest_run_is_the_one_whose_first_wanted_file_is_due(what, now, newest):
    assert newest_run(what, datetime.fromisoformat(now)) == datetime.fromisoformat(newest)


def test_no_run_is_the_newest_if_none_has_the_lead_time():
    assert newest_run(selection([48], cycles=[1]), RUN) is None


def test_a_deadline_that_is_no_duration_is_refused(store, client):
    with pytest.raises(ConfigError, match="deadline 'soon' is not a duration: write it like 60s, 10min, 1h30min or 2d"):
        wait(store, client, deadline="soon")
    assert resolve_settings()["deadline"] == "2h"
