"""Where the workers are: what is refused before anything is started."""

from __future__ import annotations

import signal

import pytest

from hrrr_dask import backfill
from hrrr_dask.clusters import _interrupts_ignored, check_cluster
from hrrr_dask.errors import ConfigError


@pytest.mark.parametrize("cluster", ["local", "tcp://10.0.0.5:8786", "tls://scheduler.example:8786"])
def test_this_machine_and_addresses_are_clusters(cluster):
    check_cluster(cluster)


@pytest.mark.parametrize("cluster", ["", "Local", "10.0.0.5:8786", "tcp://10.0.0.5", "kubernets"])
def test_anything_else_is_refused_with_what_to_write(cluster):
    with pytest.raises(ConfigError, match="write 'local' or a scheduler's address, tcp://HOST:8786"):
        check_cluster(cluster)


def test_a_bad_cluster_is_refused_before_the_archive_is_read(tmp_path):
    points = tmp_path / "points.csv"
    points.write_text("32.3,-100.3\n")
    with pytest.raises(ConfigError, match="cluster 'nowhere' is unknown"):
        backfill(points, "2024-07-01", "2024-07-01", str(tmp_path / "x.zarr"), source=str(tmp_path), cluster="nowhere")
    assert not (tmp_path / "x.zarr").exists()


def test_interrupts_are_ignored_only_while_a_cluster_starts():
    before = signal.getsignal(signal.SIGINT)
    with _interrupts_ignored():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is before


def test_an_empty_store_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="the store's URL is empty"):
        backfill(tmp_path / "points.csv", "2024-07-01", "2024-07-01", " ")
