"""Where the workers are: what is refused before anything is started, and what a cluster of this machine does."""

from __future__ import annotations

import os
import signal

import pytest
from distributed import Client, LocalCluster
from distributed.comm import CommClosedError
from distributed.versions import get_versions

from hrrr_dask import backfill, clusters
from hrrr_dask.clusters import check_workers, open_client, parse_cluster, signals
from hrrr_dask.clusters.spec import AddressSpec, LocalSpec, Workers, parse_adapt
from hrrr_dask.clusters.versions import mismatches
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.errors import ConfigError, RunError


def parsed(**settings):
    return parse_cluster(resolve_settings(**settings))


def test_this_machine_is_a_cluster():
    assert parsed(cluster="local", workers=3, threads=2) == LocalSpec(Workers(3, 3), 2)
    assert parsed(cluster="local", adapt="1:4") == LocalSpec(Workers(1, 4), 4)
    assert parsed().workers is None


@pytest.mark.parametrize("address", ["tcp://10.0.0.5:8786", "tls://scheduler.example:8786"])
def test_addresses_are_clusters(address):
    assert parsed(cluster=address) == AddressSpec(address=address)


def test_a_schedulers_file_is_a_cluster(tmp_path):
    file = tmp_path / "scheduler.json"
    with pytest.raises(ConfigError, match=r"there is no scheduler file .*: start `dask scheduler --scheduler-file"):
        parsed(cluster=str(file))
    file.write_text("{}")
    assert parsed(cluster=str(file)) == AddressSpec(scheduler_file=str(file))


@pytest.mark.parametrize("cluster", ["", "Local", "10.0.0.5:8786", "tcp://10.0.0.5", "kubernets"])
def test_anything_else_is_refused_with_what_to_write(cluster):
    with pytest.raises(ConfigError, match=r"write 'local', 'kubernetes', a scheduler's address, tcp://HOST:8786"):
        parsed(cluster=cluster)


@pytest.mark.parametrize("adapt", ["2", "0:3", "4:2", "a:b", "1:2:3", "-1:2"])
def test_a_range_of_workers_is_two_rising_numbers(adapt):
    with pytest.raises(ConfigError, match=r"write (--adapt )?MIN:MAX"):
        parse_adapt(adapt)


def test_a_number_and_a_range_of_workers_exclude_one_another():
    with pytest.raises(ConfigError, match="exclude one another"):
        parsed(workers=2, adapt="1:3")


def test_nobody_elses_cluster_is_adapted():
    with pytest.raises(ConfigError, match="--adapt is for clusters that are started here, not for tcp://x:1"):
        parsed(cluster="tcp://x:1", adapt="1:3")


def test_a_bad_cluster_is_refused_before_the_archive_is_read(tmp_path):
    points = tmp_path / "points.csv"
    points.write_text("32.3,-100.3\n")
    with pytest.raises(ConfigError, match="cluster 'nowhere' is unknown"):
        backfill(points, "2024-07-01", "2024-07-01", str(tmp_path / "x.zarr"), source=str(tmp_path), cluster="nowhere")
    assert not (tmp_path / "x.zarr").exists()


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the store's URL is empty"):
        backfill(tmp_path / "points.csv", "2024-07-01", "2024-07-01", " ")


# Signals


def test_interrupts_are_ignored_only_while_a_cluster_starts():
    before = signal.getsignal(signal.SIGINT)
    with signals.ignored(signal.SIGINT):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before


def test_sigterm_is_an_interrupt_while_a_cluster_is_ours():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), signals.sigterm_as_interrupt():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


# Versions

HERE = {"hrrr-dask": "1.0", "python": "3.11.7.final.0", "dask": "2026.8.0", "distributed": "2026.8.0"}


def test_only_what_matters_must_be_the_same():
    assert mismatches(HERE, {"w": HERE | {"python": "3.11.9.final.0", "dask": "2026.8.1", "numpy": "1"}}) == {}
    assert mismatches(HERE, {"w": HERE | {"python": "3.13.1.final.0"}}) == {"w": "Python 3.13.1.final.0"}
    assert mismatches(HERE, {"w": HERE | {"hrrr-dask": "1.0.1"}}) == {"w": "hrrr_dask 1.0.1"}
    assert mismatches(HERE, {"w": HERE | {"hrrr-dask": None}}) == {"w": "no hrrr_dask"}


class Versions:
    """A client of a cluster whose members have these."""

    def __init__(self, **changes):
        here = get_versions(["hrrr-dask"])
        self.there = {**here, "packages": here["packages"] | changes}
        self.here = here

    def get_versions(self, packages):
        return {"client": self.here, "scheduler": self.here, "workers": {"tcp://w:1": self.there}}


def test_a_cluster_of_another_version_is_refused_and_told_which_image_to_build():
    check_workers(Versions())
    with pytest.raises(RunError, match=r"1 of 2 members .*: tcp://w:1 has distributed 2020\.1\.0\. Build their image"):
        check_workers(Versions(distributed="2020.1.0"))
    with pytest.raises(RunError, match=r"tcp://w:1 has no hrrr_dask.* install there, hrrr_dask \d\S+, Python 3\.\d+, "):
        check_workers(Versions(**{"hrrr-dask": None}))


# Clusters that run


def test_a_local_cluster_adapts_to_the_work():
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


def test_a_schedulers_file_is_enough_to_connect(tmp_path):
    file = tmp_path / "scheduler.json"
    with LocalCluster(
        n_workers=1, processes=False, host="127.0.0.1", protocol="tcp", dashboard_address=":0"
    ) as cluster:
        with Client(cluster) as client:
            client.write_scheduler_file(str(file))
        with open_client(AddressSpec(scheduler_file=str(file))) as client:
            assert client.submit(sum, [1, 2]).result() == 3


def test_a_scheduler_that_is_gone_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("hrrr_dask.clusters.address.CONNECT_TIMEOUT_S", 1)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        open_client(AddressSpec(address="tcp://127.0.0.1:9")).__enter__()


def test_workers_that_end_while_all_are_asked_are_not_asked_again(monkeypatch):
    monkeypatch.setattr(clusters, "RETRY_S", 0)
    answers = [CommClosedError("ended"), OSError("refused"), {"a": 1}]

    def ask():
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert clusters.ask_all(ask) == {"a": 1}
    answers += [CommClosedError("ended")] * clusters.MAX_ATTEMPTS
    with pytest.raises(CommClosedError):
        clusters.ask_all(ask)
    assert answers == []
