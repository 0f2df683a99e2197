"""A process that was forked from one that used a store: it reads as usual, and says at once what it cannot do."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import s3fs
import xarray as xr
from fsspec.registry import _registry
from support import needs
from support.forks import in_fork
from support.specs import all_pieces, commit, make_points, make_spec, partition_outcomes

import hrrr_dask
from hrrr_dask.archive.fetch import FetchSettings, get_client
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.errors import StoreAccessError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.objects.icechunk import IcechunkBlobs
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.read.opening import open_dataset
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store
from hrrr_dask.testing import loopback_s3

REFUSED = r"this process was forked .*, so it cannot .*multiprocessing\.get_context\('spawn'\)"


def make_store(url: str) -> str:
    made = Store(url, {}, make_spec()).make_or_grow(Growth())
    for partition in (0, 1):
        made.merge(partition, all_pieces(partition))
        commit(made, *partition_outcomes(partition), partition=partition)
        publish_status(made, partition)
    return made.url


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return make_store(str(tmp_path_factory.mktemp("stores") / "s.zarr"))


@pytest.fixture(scope="module")
def s3():
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.create_bucket("out")
        yield server


@pytest.fixture(scope="module")
def bucket(s3):
    return make_store("s3://out/some/prefix/s.zarr")


@pytest.fixture(params=["directory", "bucket"])
def url(request):
    """A store that this process has used."""
    found = request.getfixturevalue(request.param)
    open_dataset(found)
    return found


def test_a_forked_process_opens_a_store(url):
    xr.testing.assert_identical(in_fork(lambda: open_dataset(url).load()), open_dataset(url).load())


@pytest.mark.parametrize("chunks", [None, {}])
def test_a_forked_process_reads_a_dataset_that_it_inherited(url, chunks):
    dataset = open_dataset(url, chunks=chunks)
    before = dataset.isel(init_time=0).load()
    assert np.isfinite(before.temperature_2m).all()
    xr.testing.assert_identical(in_fork(lambda: dataset.load(scheduler="synchronous")), open_dataset(url).load())


def test_a_dataset_is_pickled_in_a_forked_process_and_read_in_another(url):
    dataset = open_dataset(url)
    there = pickle.loads(in_fork(lambda: pickle.dumps(dataset)))
    xr.testing.assert_identical(there.load(), open_dataset(url).load())
    pickled = pickle.dumps(dataset)
    xr.testing.assert_identical(in_fork(lambda: pickle.loads(pickled).load()), there)


def test_a_fork_of_a_forked_process_reads_too(url):
    dataset = open_dataset(url)

    def child():
        return dataset.temperature_2m[0].load(), in_fork(dataset.temperature_2m[1].load)

    for k, values in enumerate(in_fork(child)):
        xr.testing.assert_identical(values, open_dataset(url).temperature_2m[k].load())


def test_a_forked_process_reads_the_ledger(url):
    assert in_fork(lambda: hrrr_dask.status(url, gaps=True)) == hrrr_dask.status(url, gaps=True)
    assert in_fork(lambda: to_dataframe(url)).equals(to_dataframe(url))


def test_a_forked_process_reads_a_compacted_ledger(tmp_path):
    url = make_store(str(tmp_path / "s.zarr"))
    before = hrrr_dask.status(url)
    assert hrrr_dask.compact(url) == (2, 1)
    assert in_fork(lambda: hrrr_dask.status(url)) == before


def test_a_forked_process_checks_the_values_of_a_store(directory):
    report = in_fork(lambda: hrrr_dask.verify_checksums(directory))
    assert replace(report, seconds=0) == replace(hrrr_dask.verify_checksums(directory), seconds=0)


def test_objects_that_are_not_there_are_none_in_a_forked_process_too(url):
    here = Blobs(url, {})

    def child():
        missing = here.get("a"), here.get_with_etag("a"), here.open("a"), here.keys("a")
        return missing, here.top_level(), here.keys(".hrrr/growth")

    nothing, names, steps = in_fork(child)
    assert nothing == (None, None, None, [])
    assert (names, steps) == (here.top_level(), here.keys(".hrrr/growth"))
    assert in_fork(lambda: here.keys(".hrrr/growth", after=".hrrr/growth/000000.json")) == []


def test_a_store_on_a_web_server_is_read_in_a_forked_process(s3, bucket):
    client = s3.client()
    for key in Blobs(bucket, {}).keys(""):
        client.put_object_acl(Bucket="out", Key=f"some/prefix/s.zarr/{key}", ACL="public-read")
    url = f"{s3.endpoint}/out/some/prefix/s.zarr"
    xr.testing.assert_identical(in_fork(lambda: open_dataset(url).load()), open_dataset(url).load())
    with pytest.raises(StoreAccessError, match="a web server does not list its objects"):
        in_fork(lambda: hrrr_dask.status(url))


def test_a_server_that_does_not_respond_is_an_error_in_a_forked_process_too(bucket, monkeypatch):
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    options = {"endpoint": "http://127.0.0.1:1"}
    with pytest.raises(StoreAccessError, match=r"cannot read zarr\.json of s3://out/x"):
        in_fork(lambda: open_dataset("s3://out/x", **options))


WORK = {
    "backfill": lambda url: hrrr_dask.backfill(None, "2024-01-01", "2024-01-02", url),
    "update": hrrr_dask.update,
    "add points": lambda url: hrrr_dask.add_points(url, make_points([9])),
    "add variables": lambda url: hrrr_dask.add_variables(url, ["wind_gust_surface"]),
    "verify": hrrr_dask.verify,
    "compact": hrrr_dask.compact,
    "make a store": lambda url: Store(url, {}, make_spec()).make_or_grow(Growth()),
    "read the archive": lambda _: get_client(parse_source("aws"), FetchSettings()),
    "put": lambda url: Blobs(url, {}).put("a", b""),
    "put new": lambda url: Blobs(url, {}).put_new("a", b""),
    "replace": lambda url: Blobs(url, {}).replace("a", b"", "tag"),
    "delete": lambda url: Blobs(url, {}).delete(["a"]),
}


@pytest.mark.parametrize("work", WORK.values(), ids=WORK)
def test_a_forked_process_says_at_once_what_it_cannot_do(directory, work):
    open_dataset(directory)
    with pytest.raises(StoreAccessError, match=REFUSED):
        in_fork(lambda: work(directory))


def test_a_process_forked_before_a_store_was_used_can_do_everything(tmp_path):
    code = (
        "import sys; from read.test_forks import in_fork, make_store, open_dataset\n"
        "made = in_fork(lambda: make_store(sys.argv[1]))\n"
        "print(open_dataset(made).sizes['init_time'])"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.zarr")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": path},
        timeout=120,
    )
    assert done.stdout == "8\n"


def test_a_dependency_that_is_missing_is_named_in_the_forked_process_alone(bucket, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    for protocol in ("s3", "s3a"):  # an earlier test may have had it loaded
        monkeypatch.delitem(_registry, protocol, raising=False)
    assert open_dataset(bucket).sizes["init_time"] == 8
    with pytest.raises(StoreAccessError, match="cannot read s3://: Install s3fs to access S3, or start it by mul"):
        in_fork(lambda: open_dataset(bucket))


def test_a_store_on_icechunk_is_refused_at_once_in_a_forked_process(tmp_path):
    needs.extra("icechunk")
    made = Store(f"icechunk+{tmp_path}", {}, make_spec()).make_or_grow(Growth())
    dataset, blobs = open_dataset(made.url), made.blobs
    assert isinstance(blobs, IcechunkBlobs)
    for work in (
        lambda: open_dataset(made.url),
        dataset.temperature_2m.load,
        lambda: hrrr_dask.status(made.url),
        lambda: blobs.seal("nothing"),
        blobs.prepare,
        blobs.history,
    ):
        with pytest.raises(StoreAccessError, match=REFUSED):
            in_fork(work)
