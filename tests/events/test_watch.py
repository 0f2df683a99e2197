"""Messages of a queue become values of a store; a message is deleted only after its values are committed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from datetime import datetime

import numpy as np
import pytest
from support.oracle import NoCluster, cli_command, run_cli, without_dask, write_points
from support.queues import make_queue, s3_event

import hrrr_dask
from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.errors import ConfigError, SourceDownError, StoreError, StoreMismatchError
from hrrr_dask.events import batches, reading
from hrrr_dask.events import watch as events_watch
from hrrr_dask.events.batches import Batches, Told, files_of_run, lone_inventories, wants
from hrrr_dask.events.messages import NewObject
from hrrr_dask.events.queue import Message, Queue
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.records import GribFile
from hrrr_dask.testing import GridWindow, drop_message, expected_field, loopback_s3, truncate, write_archive

FEW = ["temperature_2m", "precipitation_1h"]
WINDOW = GridWindow(288, 794, 8, 10)
CELLS = (np.array([2, 5]), np.array([3, 8]))
PLACES = np.column_stack(WINDOW.latlon(CELLS[0] + 0.2, CELLS[1] + 0.1)).tolist()
NOON = datetime(2024, 1, 1, 12)
NIGHT = datetime(2024, 1, 2)
OTHERS = ["hrrr.20240101/conus/hrrr.t12z.wrfprsf01.grib2", "hrrr.20240101/alaska/hrrr.t12z.wrfsfcf01.ak.grib2"]


@pytest.fixture(scope="module")
def server():
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An archive of three runs, and a store that has the first."""
    root = tmp_path_factory.mktemp("watch")
    archive = write_archive(
        root / "archive",
        init_times=[datetime(2024, 1, 1), NOON, NIGHT],
        lead_hours=[0, 1],
        variables=FEW,
        decoys=False,
        window=WINDOW,
    )
    with without_dask() as client:
        report = hrrr_dask.backfill(
            write_points(root / "points.csv", PLACES),
            "2024-01-01T00",
            "2024-01-01T00",
            root / "x.zarr",
            client=client,
            source=[str(archive.root)],
            variables=FEW,
            cycles="0,12",
            lead_hours="0,1",
            axis_start="2024-01-01",
        )
    assert (report.outcome, report.files_read) == ("done", 2)
    return archive, root / "x.zarr"


@pytest.fixture
def archive(made, tmp_path):
    """A copy of the archive, which a test can change: the store's source is where it was."""
    moved = made[0].root.with_name("kept")
    shutil.copytree(made[0].root, moved)
    yield made[0]
    shutil.rmtree(made[0].root)
    moved.rename(made[0].root)


@pytest.fixture
def store(made, tmp_path):
    return shutil.copytree(made[1], tmp_path / "x.zarr")


def keys_of(*inits, leads=(0, 1)):
    files = [GribFile(init, lead) for init in inits for lead in leads]
    return [key for file in files for key in (object_key(file), inventory_key(file))]


def watch(store, queue, **given):
    with without_dask() as client:
        options = {"visibility": given.pop("visibility", "30s")}
        defaults = {"once": True, "sweep": 0, "queue_options": options}
        return hrrr_dask.watch(store, queue.url, client=client, **{**defaults, **given})


def check_values(store, *inits, leads=(0, 1)):
    """The store has the synthetic archive's values of these files, each from one attempt."""
    ds = hrrr_dask.open_dataset(store)
    for init in inits:
        for lead in leads:
            here = ds.sel(init_time=init, lead_time=np.timedelta64(lead, "h"))
            assert here["status"].values == COMPLETE
            expected = expected_field("temperature_2m", init, 60 * lead, WINDOW)[CELLS]
            np.testing.assert_array_equal(here["temperature_2m"].values, expected)
    ledger = to_dataframe(store)
    complete = ledger[ledger.outcome == "complete"]
    assert not complete.duplicated(["init_time", "lead_minutes", "variable"]).any(), "read twice"


@pytest.mark.parametrize("raw", [False, True], ids=["in an envelope", "raw"])
def test_new_files_are_read_and_their_messages_deleted(server, store, made, raw):
    queue = make_queue(server, raw=raw)
    queue.send(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}))
    queue.publish(*keys_of(NOON, NIGHT), *OTHERS, *keys_of(NOON))
    report = watch(store, queue)
    assert (report.files_read, report.files_told, report.times_left) == (4, 4, 0)
    assert (report.messages, report.ignored, report.unreadable) == (15, 3, 0)
    assert queue.counts() == (0, 0)
    assert report.newest_run == NIGHT
    assert report.newest_run_age_s > 0
    check_values(store, datetime(2024, 1, 1), NOON, NIGHT)
    rows = len(to_dataframe(store))
    queue.publish(*keys_of(NOON))
    again = watch(store, queue)
    assert (again.files_read, again.files_done_before, queue.counts()) == (0, 2, (0, 0))
    assert len(to_dataframe(store)) == rows


def test_events_of_a_bucket_arrive_through_a_topic(server, store, archive):
    """The bucket sends the events itself, as NOAA's does."""
    queue = make_queue(server)
    s3 = server.client()
    server.create_bucket("mirror")
    topic = {"TopicArn": queue.topic, "Events": ["s3:ObjectCreated:*"]}
    s3.put_bucket_notification_configuration(
        Bucket="mirror", NotificationConfiguration={"TopicConfigurations": [topic]}
    )
    for key in keys_of(NOON):
        s3.put_object(Bucket="mirror", Key=f"a b/{key}", Body=b"GRIB")
    report = watch(store, queue)
    assert (report.files_read, queue.counts()) == (2, (0, 0))
    check_values(store, NOON)


def test_a_file_that_is_not_there_yet_stays_in_the_queue(server, store, archive):
    late = archive.path(GribFile(NOON, 1))
    late.rename(late.with_name("late"))
    queue = make_queue(server)
    queue.publish(*keys_of(NOON))
    lines = []
    report = watch(store, queue, visibility="2s", batch_wait=0, say=lines.append)
    assert (report.files_read, report.times_left) == (1, 1)
    assert sum(queue.counts()) == 2
    assert "read 1 file of 1 run, left 1 in the queue; the newest run is 2024-01-01T12" in lines[-1]
    ledger = to_dataframe(store)
    assert set(ledger[ledger.init_time == NOON].lead_minutes) == {0}, "what is not there is no gap"
    late.with_name("late").rename(late)
    report = wait_until_empty(store, queue)
    assert report.files_read == 1
    check_values(store, NOON)


def wait_until_empty(store, queue):
    """Watch again until nothing is hidden any more; returns the last report that read something."""
    last, deadline = None, time.monotonic() + 60
    while queue.counts() != (0, 0) and time.monotonic() < deadline:
        report = watch(store, queue, visibility="2s", batch_wait=0)
        last = report if report.files_read else last
        time.sleep(0.2)
    assert queue.counts() == (0, 0)
    return last


def test_a_file_that_ends_too_early_stays_in_the_queue(server, store, archive):
    whole = archive.path(GribFile(NOON, 0)).read_bytes()
    truncate(archive, GribFile(NOON, 0), len(whole) - 20)
    queue = make_queue(server)
    queue.publish(*keys_of(NOON))
    report = watch(store, queue, visibility="2s", batch_wait=0)
    assert (report.times_left, sum(queue.counts())) == (1, 2)
    archive.path(GribFile(NOON, 0)).write_bytes(whole)
    wait_until_empty(store, queue)
    check_values(store, NOON)


def test_a_gap_for_good_is_answered(server, store, archive):
    """A message that its file does not have will not appear in it: only updates try again."""
    drop_message(archive, GribFile(NOON, 1), "precipitation_1h")
    queue = make_queue(server)
    queue.publish(*keys_of(NOON, leads=[1]))
    report = watch(store, queue)
    assert (report.files_read, report.times_left, queue.counts()) == (1, 0, (0, 0))
    ledger = to_dataframe(store)
    assert set(ledger[ledger.init_time == NOON].outcome) == {"complete", "message-not-found"}
    queue.publish(*keys_of(NOON, leads=[1]))
    assert (watch(store, queue).files_read, queue.counts()) == (0, (0, 0))


def test_a_message_whose_file_never_appears_goes_to_the_dead_letters(server, store):
    queue = make_queue(server, receives=2)
    queue.publish(object_key(GribFile(datetime(2024, 1, 1, 12), 1)), object_key(GribFile(NIGHT.replace(day=3), 0)))
    deadline = time.monotonic() + 30
    while queue.counts(queue.dead_url)[0] == 0 and time.monotonic() < deadline:
        watch(store, queue, visibility="1s", batch_wait=0)
        time.sleep(0.3)
    assert queue.counts(queue.dead_url) == (1, 0)
    assert queue.counts() == (0, 0)


def test_an_unreadable_message_is_left_to_the_redrive_policy(server, store, caplog):
    queue = make_queue(server)
    queue.send("hello", json.dumps({"detail": "of another service"}))
    report = watch(store, queue)
    assert (report.unreadable, report.ignored) == (2, 0)
    assert queue.counts() == (0, 2)
    assert "left to the queue's redrive policy: it is not JSON" in caplog.text


def test_nothing_is_deleted_before_the_values_are_committed(server, store, monkeypatch):
    seen = []
    delete = Queue.delete

    def record(self, messages):
        messages = list(messages)
        if messages:
            seen.append(int((hrrr_dask.open_dataset(store)["status"] == COMPLETE).sum()))
        delete(self, messages)

    monkeypatch.setattr(Queue, "delete", record)
    queue = make_queue(server)
    queue.publish(*keys_of(NOON))
    watch(store, queue)
    assert seen == [4]


@pytest.mark.parametrize("error", [StoreError("the disk is full"), KeyboardInterrupt()])
def test_after_an_error_the_messages_can_be_received_at_once(server, store, monkeypatch, error):
    def fail(*_, **__):
        raise error

    queue = make_queue(server)
    queue.publish(*keys_of(NOON))
    with monkeypatch.context() as patch:
        patch.setattr(reading, "run_backfill", fail)
        with pytest.raises(type(error)):
            watch(store, queue, visibility="10min")
    assert queue.counts() == (4, 0)
    assert watch(store, queue).files_read == 2


def test_while_no_source_responds_the_files_stay_in_the_queue(server, store, monkeypatch):
    def fail(*_, **__):
        raise SourceDownError("no source responds")

    monkeypatch.setattr(reading, "run_backfill", fail)
    queue, lines = make_queue(server), []
    queue.publish(*keys_of(NOON))
    report = watch(store, queue, say=lines.append)
    assert (report.files_read, report.times_left, queue.counts()) == (0, 2, (0, 4))
    assert "no source responds; the files stay in the queue" in lines


def test_an_archive_that_does_not_respond_is_told_of_once_and_so_is_its_return(server, store, monkeypatch):
    def fail(*_, **__):
        raise SourceDownError("no source responds")

    queue, told = make_queue(server), []
    queue.publish(*keys_of(NOON), *keys_of(NIGHT))
    read = reading.run_backfill
    left = [fail, fail]

    def run_backfill(*given, **more):
        return (left.pop() if left else read)(*given, **more)

    monkeypatch.setattr(reading, "run_backfill", run_backfill)
    given = {"visibility": "2s", "once": False, "run_for": "8s", "batch_wait": "0s"}
    report = watch(store, queue, on_change=lambda *change: told.append(change), **given)
    assert (report.files_read, left) == (4, [])
    assert told == [("no source responds", False), ("the archive responds again", True)]


def test_ten_thousand_events_of_other_files_are_skipped_in_seconds(server, store, monkeypatch):
    """Without a server, whose own time would be measured: SQS answers in milliseconds."""
    bodies = [s3_event(f"hrrr.20240101/conus/hrrr.t{k % 24:02}z.wrfprsf{k % 19:02}.grib2") for k in range(10_000)]
    queue = make_queue(server)
    deletes = []

    def receive(self, wait_s=0):
        taken = [Message(str(id(body)), "r", body, 1) for body in bodies[-10:]]
        del bodies[-10:]
        return taken

    monkeypatch.setattr(Queue, "receive", receive)
    monkeypatch.setattr(Queue, "delete", lambda _, messages: deletes.append(len(list(messages))))
    began = time.process_time()
    report = watch(store, queue)
    assert time.process_time() - began < 30
    assert (report.messages, report.ignored, sum(deletes)) == (10_000, 10_000, 10_000)
    assert max(deletes) == 10


def test_a_sweep_finds_what_no_message_told_of(server, store, monkeypatch):
    monkeypatch.setattr(events_watch, "utc_now", lambda: NIGHT.replace(hour=2))
    queue, lines = make_queue(server), []
    report = watch(store, queue, sweep="1h", say=lines.append)
    assert (report.files_read, report.files_swept, report.sweeps, report.newest_run) == (0, 2, 1, NOON)
    assert "a sweep read 2 files that no message told of; the newest run is 2024-01-01T12, 14 h 0 min old" in lines
    check_values(store, NOON)


def test_sweeps_come_at_their_interval(server, store, monkeypatch):
    monkeypatch.setattr(events_watch, "utc_now", lambda: NIGHT.replace(hour=2))
    report = watch(store, make_queue(server), once=False, run_for="4s", sweep="1s", batch_wait="1s")
    assert report.sweeps >= 2
    assert report.files_swept == 2


def test_messages_that_are_not_extended_in_time_are_read_nevertheless(server, store, monkeypatch):
    """The queue gives every message again and again, as if its visibility were over at once."""
    queue = make_queue(server)
    bodies = [s3_event(key) for key in keys_of(NOON, NIGHT)] * 5
    deleted = set()

    def receive(self, wait_s=0):
        left = [(k, body) for k, body in enumerate(bodies) if k not in deleted]
        return [Message(str(k), f"{k} {time.monotonic()}", body, 1) for k, body in left[:10]]

    monkeypatch.setattr(Queue, "receive", receive)
    monkeypatch.setattr(Queue, "delete", lambda _, messages: deleted.update(int(one.message_id) for one in messages))
    report = watch(store, queue, batch_wait="1s", visibility="3s")
    assert report.files_read == 4
    assert deleted == set(range(len(bodies)))


def test_two_watchers_share_a_queue(server, store):
    """One after the other receives what the first left; none is read twice."""
    queue = make_queue(server)
    queue.publish(*keys_of(NOON), *keys_of(NIGHT))
    first = watch(store, queue)
    second = watch(store, queue)
    assert first.files_read + second.files_read == 4
    check_values(store, NOON, NIGHT)


def test_an_inventory_told_alone_waits_for_another_watcher():
    file = GribFile(NOON, 0)

    def told(receives, *inventories):
        return Told(Message(str(inventories), "r", "", receives), tuple(NewObject(file, each) for each in inventories))

    assert lone_inventories([told(1, True)], seen_files=True) == {file}
    assert lone_inventories([told(2, True)], seen_files=True) == set()
    assert lone_inventories([told(1, True), told(1, False)], seen_files=True) == set()
    assert lone_inventories([told(1, True)], seen_files=False) == set(), "the queue gets inventories only"


# Batches


def told_of(*leads, init=NOON):
    return Told(Message(f"{init}{leads}", "r", "", 1), tuple(NewObject(GribFile(init, lead), False) for lead in leads))


def test_a_run_is_read_when_it_is_whole_or_after_the_wait(made):
    now = [0.0]
    found = Batches(60, lambda init: {GribFile(init, lead) for lead in range(3)}, lambda: now[0])
    assert found.due_in() is None
    found.add(told_of(0))
    found.add(told_of(1))
    assert found.due_in() == 60
    assert found.take() == []
    now[0] = 20
    found.add(told_of(0, init=NIGHT))
    assert found.due_in() == 40
    found.add(told_of(2))
    assert found.due_in() == 0
    assert len(found.take()) == 3
    found.mark_done([GribFile(NIGHT, 1), GribFile(NIGHT, 2)])
    assert found.due_in() == 0, "the others are done"
    assert len(found.take()) == 1
    assert len(found) == 0
    found.add(told_of(1, init=NOON))
    now[0] = 80
    assert len(found.take()) == 1


def test_a_message_that_is_received_again_counts_once():
    found = Batches(0, lambda init: {GribFile(init, 0), GribFile(init, 1)}, lambda: 0.0)
    first, again = (Told(Message("m", receipt, "", 1), told_of(0).objects) for receipt in ("old", "new"))
    found.add(first)
    found.add(again)
    assert len(found) == 1
    assert found.take() == [again]


def test_only_recent_runs_are_remembered():
    found = Batches(60, lambda _: (), lambda: 0.0)
    found.mark_done([GribFile(NOON, 0)])
    found.mark_done([GribFile(NOON + 2 * batches.REMEMBERED, 0)])
    assert not found.is_done(GribFile(NOON, 0))
    assert found.is_done(GribFile(NOON + 2 * batches.REMEMBERED, 0))


def test_a_store_wants_its_own_files(made):
    spec = hrrr_dask.job.request.open_store(str(made[1]), {}).spec
    now = datetime(2024, 3, 1)
    assert set(files_of_run(spec, NOON)) == {GribFile(NOON, 0), GribFile(NOON, 1)}
    assert wants(spec, GribFile(datetime(2024, 2, 29, 12), 1), now), "also after its last day"
    for file in (
        GribFile(NOON, 2),
        GribFile(NOON.replace(hour=6), 1),
        GribFile(NOON, 1, "prs"),
        GribFile(NOON, 1, domain="alaska"),
        GribFile(datetime(2023, 12, 31, 12), 1),
        GribFile(datetime(2024, 3, 1, 12), 1),
    ):
        assert not wants(spec, file, now), file


# Errors


def test_what_is_missing_is_said(server, store, tmp_path):
    queue = make_queue(server)
    with pytest.raises(StoreMismatchError, match="holds no store"):
        hrrr_dask.watch(tmp_path / "nothing.zarr", queue.url)
    with pytest.raises(ConfigError, match="there is no queue"):
        hrrr_dask.watch(store, f"{queue.url}x", client=NoCluster())
    with pytest.raises(ConfigError, match="in two ways"):
        hrrr_dask.watch(store, queue.url, once=True, run_for="1s")
    for name in ("batch_wait", "sweep", "run_for"):
        with pytest.raises(ConfigError, match="not a duration"):
            hrrr_dask.watch(store, queue.url, **{name: "soon"})
    with pytest.raises(ConfigError, match="setting colour is unknown"):
        hrrr_dask.watch(store, queue.url, colour="blue")


def test_the_command_watches(server, store):
    queue = make_queue(server)
    queue.publish(*keys_of(NOON))
    environment = {**os.environ, **server.environment()}
    code, answer, err = run_cli(
        "watch",
        store=store,
        queue=queue.url,
        queue_option=["visibility=30s"],
        once=True,
        sweep="0",
        workers=1,
        json=True,
        environment=environment,
    )
    assert (code, answer["outcome"], answer["files_read"]) == (0, "done", 2), err
    assert "the newest run is 2024-01-01T12" in err
    assert "Traceback" not in err
    assert queue.counts() == (0, 0)
    code, answer, err = run_cli("watch", store=store, queue="new", json=True, environment=environment)
    assert (code, answer["error"]["code"]) == (2, "bad-setting")


def test_sigterm_commits_what_is_being_read_and_lets_others_have_the_rest(server, store):
    """A pod that is stopped: what waits for its run is visible at once, not when the visibility ends."""
    queue = make_queue(server)
    queue.publish(*keys_of(NIGHT))
    options = {"queue": queue.url, "queue_option": "visibility=10min", "batch_wait": "1h", "sweep": 0, "workers": 1}
    command = cli_command("watch", store=store, log_format="json", json=True, **options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: set(lead_minutes(store, NIGHT)) == {0, 60}, "the run is whole and committed")
        queue.publish(*keys_of(NOON, leads=[0]))
        until(lambda: queue.counts() == (0, 2), "an incomplete run is waited for")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    report = json.loads(out)
    assert (report["files_read"], report["messages"], report["interrupted"]) == (2, 6, True)
    assert queue.counts() == (2, 0)
    assert [event["level"] for event in map(json.loads, err.splitlines()) if event["level"] != "info"] == []
    report = watch(store, queue)
    assert (report.files_read, queue.counts()) == (1, (0, 0))
    check_values(store, NIGHT)
    check_values(store, NOON, leads=[0])


def lead_minutes(store, init_time):
    ledger = to_dataframe(store)
    return ledger[ledger.init_time == init_time].lead_minutes


def until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
