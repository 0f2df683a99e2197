"""Parsing of cluster settings, checks of versions, signals, and connections to clusters."""

from __future__ import annotations

import os
import signal
from unittest.mock import Mock

import pytest
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError
from distributed.versions import get_versions

from hrrr_dask import backfill, clusters
from hrrr_dask.clusters import check_workers, open_client, parse_cluster, signals
from hrrr_dask.clusters.spec import AddressSpec, LocalSpec, Workers, parse_adapt
from hrrr_dask.clusters.versions import find_mismatches
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.errors import ConfigError, RunError


def parsed(**settings):
    return parse_cluster(resolve_settings(**settings))


@pytest.mark.parametrize(
    ("settings", "spec"),
    [
        ({"cluster": "local", "workers": 3, "threads": 2}, LocalSpec(Workers(3, 3), 2)),
        ({"cluster": "local", "adapt": "1:4"}, LocalSpec(Workers(1, 4), 4)),
        ({"cluster": "tcp://10.0.0.5:8786"}, AddressSpec(address="tcp://10.0.0.5:8786")),
        ({"cluster": "tls://scheduler.example:8786"}, AddressSpec(address="tls://scheduler.example:8786")),
    ],
)
def test_settings_are_parsed_to_a_spec(settings, spec):
    assert parsed(**settings) == spec


def test_the_default_number_of_workers_is_left_to_the_cluster():
    assert parsed().workers is None


def test_a_scheduler_file_must_exist(tmp_path):
    file = tmp_path / "scheduler.json"
    with pytest.raises(ConfigError, match=r"scheduler file .* does not exist: start `dask scheduler --scheduler-file"):
        parsed(cluster=str(file))
    file.write_text("{}")
    assert parsed(cluster=str(file)) == AddressSpec(scheduler_file=str(file))


@pytest.mark.parametrize("cluster", ["", "Local", "10.0.0.5:8786", "tcp://10.0.0.5", "kubernets"])
def test_an_unknown_cluster_is_refused(cluster):
    with pytest.raises(ConfigError, match=r"write 'local', 'kubernetes', a scheduler's address, tcp://HOST:8786"):
        parsed(cluster=cluster)


@pytest.mark.parametrize("adapt", ["2", "0:3", "4:2", "a:b", "1:2:3", "-1:2"])
def test_an_invalid_range_of_workers_is_refused(adapt):
    with pytest.raises(ConfigError, match=r"write (--adapt )?MIN:MAX"):
        parse_adapt(adapt)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"workers": 2}, "exclude each other"),
        ({"cluster": "tcp://x:1"}, "--adapt is for clusters that are started here, not for tcp://x:1"),
    ],
)
def test_adapt_is_refused_with_a_fixed_number_and_for_an_existing_cluster(settings, text):
    with pytest.raises(ConfigError, match=text):
        parsed(adapt="1:3", **settings)


def test_an_unknown_cluster_is_refused_before_the_archive_is_read(tmp_path):
    points = tmp_path / "points.csv"
    points.write_text("32.3,-100.3\n")
    with pytest.raises(ConfigError, match="cluster 'nowhere' is unknown"):
        backfill(points, "2024-07-01", "2024-07-01", str(tmp_path / "x.zarr"), source=str(tmp_path), cluster="nowhere")
    assert not (tmp_path / "x.zarr").exists()


def test_an_empty_store_url_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the store's URL is empty"):
        backfill(tmp_path / "points.csv", "2024-07-01", "2024-07-01", " ")


# Signals


def test_ignored_signals_are_restored():
    before = signal.getsignal(signal.SIGINT)
    with signals.ignore_signals(signal.SIGINT):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_stop_raises_keyboard_interrupt_within_the_block(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), signals.stop_as_interrupt():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_a_process_that_ignores_sighup_continues_to_ignore_it():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.stop_as_interrupt():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# Versions

HERE = {"hrrr-dask": "1.0", "python": "3.11.7.final.0", "dask": "2026.8.0", "distributed": "2026.8.0"}


def test_versions_are_compared_as_far_as_they_must_match():
    assert find_mismatches(HERE, {"w": HERE | {"python": "3.11.9.final.0", "dask": "2026.8.1", "numpy": "1"}}) == {}
    assert find_mismatches(HERE, {"w": HERE | {"python": "3.13.1.final.0"}}) == {"w": "Python 3.13.1.final.0"}
    assert find_mismatches(HERE, {"w": HERE | {"hrrr-dask": "1.0.1"}}) == {"w": "hrrr_dask 1.0.1"}
    assert find_mismatches(HERE, {"w": HERE | {"hrrr-dask": None}}) == {"w": "no hrrr_dask"}


class FakeClient:
    """A client of a cluster whose worker has other versions."""

    def __init__(self, **changes):
        self.here = get_versions(["hrrr-dask"])
        self.worker = {**self.here, "packages": self.here["packages"] | changes}

    def get_versions(self, packages):
        return {"client": self.here, "scheduler": self.here, "workers": {"tcp://w:1": self.worker}}


def test_a_cluster_with_other_versions_is_refused_with_the_versions_to_install():
    check_workers(FakeClient())
    with pytest.raises(RunError, match=r"1 of 2 members .*: tcp://w:1 has distributed 2020\.1\.0\. Build their image"):
        check_workers(FakeClient(distributed="2020.1.0"))
    with pytest.raises(RunError, match=r"tcp://w:1 has no hrrr_dask.* install there, hrrr_dask \d\S+, Python 3\.\d+, "):
        check_workers(FakeClient(**{"hrrr-dask": None}))


# Running clusters


def test_a_local_cluster_adapts_its_size_to_the_work():
    with open_client(LocalSpec(Workers(1, 2), 1)) as client:
        assert len(client.nthreads()) == 1
        assert client.run(os.environ.get, "MALLOC_ARENA_MAX").popitem()[1] == "1"
        futures = client.map(slow, range(14), pure=False)
        client.wait_for_workers(2, timeout=100)
        assert sum(client.gather(futures)) == sum(range(14))


def slow(number):
    import time

    time.sleep(0.5)
    return number


def test_a_client_connects_by_a_scheduler_file(tmp_path):
    file = tmp_path / "scheduler.json"
    with LocalCluster(
        n_workers=1, processes=False, host="127.0.0.1", protocol="tcp", dashboard_address=":0"
    ) as cluster:
        with Client(cluster) as client:
            client.write_scheduler_file(str(file))
        with open_client(AddressSpec(scheduler_file=str(file))) as client:
            assert client.submit(sum, [1, 2]).result() == 3


def test_the_error_names_a_scheduler_that_does_not_respond(monkeypatch):
    monkeypatch.setattr("hrrr_dask.clusters.address.CONNECT_TIMEOUT_S", 1)
    with pytest.raises(RunError, match=r"no Dask scheduler responds at tcp://127\.0\.0\.1:9"):
        open_client(AddressSpec(address="tcp://127.0.0.1:9")).__enter__()


def test_a_call_to_all_workers_is_retried_if_one_stops_up_to_a_limit(monkeypatch):
    monkeypatch.setattr(clusters, "RETRY_S", 0)
    call = Mock(side_effect=[CommClosedError("stopped"), OSError("refused"), {"a": 1}])
    assert clusters.retry_worker_calls(call) == {"a": 1}
    call = Mock(side_effect=[CommClosedError("stopped")] * clusters.MAX_ATTEMPTS)
    with pytest.raises(CommClosedError):
        clusters.retry_worker_calls(call)
    assert call.call_count == clusters.MAX_ATTEMPTS
