"""``client=`` of the functions that read: a client, the address of a scheduler, and what is refused."""

from __future__ import annotations

import asyncio
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from support.oracle import object_digests

import hrrr_dask
from hrrr_dask.errors import ConfigError, UsageError
from hrrr_dask.testing import GridWindow, write_archive

WINDOW = GridWindow(288, 794, 8, 10)
NAMES = ["temperature_2m", "surface_pressure"]
LATITUDE, LONGITUDE = (axis.tolist() for axis in WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2])))


def table():
    return pd.DataFrame({"point_id": ["a", "b"], "latitude": LATITUDE, "longitude": LONGITUDE})


@pytest.fixture(scope="module")
def cluster():
    """A worker that is a thread of this process."""
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options, protocol="tcp") as found:
        yield found


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    times = [datetime(2024, 1, 1, 12), datetime(2024, 1, 2, 12)]
    root = tmp_path_factory.mktemp("clients") / "archive"
    return write_archive(root, init_times=times, lead_hours=[1], variables=NAMES, decoys=False, window=WINDOW)


@pytest.fixture
def functions(archive, tmp_path):
    """Every function that takes a client, as a call of it, and their store."""
    store, source = str(tmp_path / "x.zarr"), {"source": [str(archive.root)], "engine": "eccodes"}
    points = table()
    wanted = {"variables": NAMES[:1], "cycles": [12], "lead_hours": [1], "axis_start": "2024-01-01"}
    return SimpleNamespace(
        store=store,
        backfill=lambda client: hrrr_dask.backfill(
            points[:1], "2024-01-01", "2024-01-01", store, client=client, **source, **wanted
        ),
        update=lambda client: hrrr_dask.update(store, client=client, end="2024-01-02", **source),
        add_points=lambda client: hrrr_dask.add_points(store, points[1:], client=client, **source),
        add_variables=lambda client: hrrr_dask.add_variables(store, NAMES[1:], client=client, **source),
    )


FUNCTIONS = ("backfill", "update", "add_points", "add_variables")


def test_the_address_of_a_scheduler_is_connected_to_and_the_connection_is_closed(cluster, functions):
    clients = set(cluster.scheduler.clients)
    for name in FUNCTIONS:
        assert getattr(functions, name)(cluster.scheduler_address).outcome == "done", name
        assert set(cluster.scheduler.clients) == clients
    with hrrr_dask.open_dataset(functions.store) as ds:
        assert (ds.sizes["init_time"], ds.sizes["point"]) == (2, 2)
        assert all(bool(ds[name].notnull().all()) for name in NAMES)


def test_a_client_is_left_connected(cluster, functions):
    with Client(cluster) as client:
        assert functions.backfill(client).files_read == 1
        assert client.submit(sum, [1, 2]).result() == 3


def closed(address):
    client = Client(address)
    client.close()
    return client


REFUSED = {
    "closed": (closed, r"a connected distributed\.Client is needed, and this one is closed: make another one"),
    "another text": (lambda _: "somewhere", r"cluster 'somewhere' is unknown: write .* a scheduler's address"),
    "something else": (lambda _: 8786, r"client= is a distributed\.Client or a scheduler's address.*, not int"),
    "a cluster": (
        lambda _: SimpleNamespace(scheduler_address="tcp://x:1"),
        r"client= is a distributed\.Client or a scheduler's address.* not SimpleNamespace: .*Client\(cluster\)",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_client_that_cannot_be_used_is_refused_before_anything_is_written(cluster, functions, tmp_path, what):
    make, text = REFUSED[what]
    with pytest.raises(UsageError, match=text):
        functions.backfill(make(cluster.scheduler_address))
    assert not list(tmp_path.iterdir())
    functions.backfill(cluster.scheduler_address)
    before = object_digests(functions.store, ledger=True)
    for name in FUNCTIONS[1:]:
        with pytest.raises(UsageError, match=text):
            getattr(functions, name)(make(cluster.scheduler_address))
        assert object_digests(functions.store, ledger=True) == before, name


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_an_asynchronous_client_is_refused_with_the_address_to_pass_instead(cluster, functions):
    async def refused(name):
        async with Client(cluster.scheduler_address, asynchronous=True) as client:
            with pytest.raises(UsageError, match=rf"asynchronous: .* client='{cluster.scheduler_address}'"):
                getattr(functions, name)(client)

    functions.backfill(cluster.scheduler_address)
    for name in FUNCTIONS:
        asyncio.run(refused(name))


def test_settings_that_are_refused_are_refused_before_the_store_grows(cluster, functions):
    functions.backfill(cluster.scheduler_address)
    before = object_digests(functions.store, ledger=True)
    with pytest.raises(ConfigError, match="cluster 'nowhere' is unknown"):
        hrrr_dask.add_variables(functions.store, NAMES[1:], cluster="nowhere")
    assert object_digests(functions.store, ledger=True) == before
