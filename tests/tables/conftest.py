"""A cluster for the tests of tables."""

from __future__ import annotations

import pytest
from distributed import Client, LocalCluster


@pytest.fixture(scope="module")  # a client that stays would compute the Dask arrays of other tests
def one_process():
    """Client of a worker of two threads in this process."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, protocol="tcp", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected
