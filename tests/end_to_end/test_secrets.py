"""Secrets of the environment, or given by mistake, are never repeated; each contains a mark to search for."""

from __future__ import annotations

import pickle

import pytest
from support.secrets import MARK

from hrrr_dask.archive.fetch import Client as Reader
from hrrr_dask.archive.fetch import FetchSettings, Tally
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.errors import ConfigError, HrrrDaskError, PointsError
from hrrr_dask.grid.points import read_points
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.objects.locations import check_options, normal_url


def test_what_travels_to_workers_has_none(marked):
    assert MARK.encode() not in pickle.dumps(open_object_store("s3://out/x"))


@pytest.mark.parametrize("text", [
    f"https://me:{MARK}@example.org/hrrr", f"https://example.org/hrrr?X-Amz-Signature={MARK}", f"s3://me:{MARK}@bucket",
    f"s3://bucket#{MARK}", f"https//me:{MARK}@example.org", f"me:{MARK}@example.org/hrrr", f"file://me:{MARK}@host/x",
    f"icechunk+s3://me:{MARK}@bucket", f"https://[me:{MARK}@x", f"ftp://me:{MARK}@host/x", f"s3://?key={MARK}",
])  # fmt: skip
def test_a_url_that_holds_one_is_refused_without_repeating_it(text):
    with pytest.raises(ConfigError) as refused:
        parse_source(text)
    assert MARK not in str(refused.value)
    assert refused.value.__cause__ is None
    if "://" in text:
        with pytest.raises(ConfigError) as refused:
            normal_url(text)
        assert MARK not in str(refused.value)


@pytest.mark.parametrize("endpoint", [f"http://me:{MARK}@x", f"me:{MARK}@x", f"https://x?token={MARK}", f"?{MARK}"])
def test_an_endpoint_that_holds_one_is_refused_wherever_it_comes_from(endpoint, monkeypatch):
    with pytest.raises(ConfigError) as refused:
        check_options("s3://bucket", {"endpoint": endpoint})
    assert MARK not in str(refused.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(ConfigError) as refused:
        open_object_store("s3://bucket", {"anonymous": "true"})
    assert MARK not in str(refused.value)


@pytest.mark.parametrize("path", [f"https://me:{MARK}@example.org/p.csv", f"https://x/p.csv?X-Amz-Signature={MARK}",
                                  f"https://x/p.csv?{MARK}\0"])  # fmt: skip
def test_a_points_file_is_named_without_the_signature_of_its_url(path):
    with pytest.raises(PointsError) as refused:
        read_points(path)
    assert MARK not in str(refused.value)


def read_of(url: str) -> None:
    settings = FetchSettings(attempts=1, timeout_s=2, connect_timeout_s=1)
    Reader(parse_source(url), settings).read_all("key", Tally())


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/hrrr", "gs://bucket/x", "s3://bucket/x"])
def test_a_place_that_cannot_be_reached_is_told_without_proxy_and_keys(marked, url, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:9")
    with pytest.raises(HrrrDaskError) as told:
        read_of(url)
    assert MARK not in str(told.value)
