"""A store in an S3 bucket from the command line: same values as locally, idempotent, errors on one screen."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime

import numpy as np
import pytest
import xarray as xr
from support.oracle import as_bits, run_cli, without_dask, write_points

import hrrr_dask
from hrrr_dask.errors import ConfigError, StoreAccessError
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.testing import GridWindow, loopback_s3, write_archive

FEW = ["temperature_2m", "u_component_wind_10m", "v_component_wind_10m", "precipitation_1h"]
SECRET = "hunter2-is-nobodys-business"
PERIOD = {"start": "2024-01-01", "end": "2024-01-02"}
STORE = "s3://out/some/prefix/x.zarr"
WINDOW = GridWindow(288, 794, 8, 10)
PLACES = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7, 0.4]), np.array([3.1, 8.2, 0.3]))).tolist()


@pytest.fixture(scope="module")
def s3():
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        server.create_bucket("out")
        server.create_bucket("hrrr")
        yield server


@pytest.fixture(scope="module")
def request_(s3, tmp_path_factory):
    """The command's options without store and source; the archive, in a directory and in a bucket."""
    root = tmp_path_factory.mktemp("s3")
    archive = write_archive(
        root / "archive",
        start=datetime(2024, 1, 1),
        end=datetime(2024, 1, 2, 12),
        cycles=[0, 12],
        lead_hours=[0, 1],
        variables=FEW,
        window=WINDOW,
    )
    for key in s3.upload(archive.root, "hrrr"):
        s3.client().put_object_acl(Bucket="hrrr", Key=key, ACL="public-read")  # as NOAA's bucket is
    options = {"points": write_points(root / "points.csv", PLACES), "cycles": "0,12", "lead_hours": "0,1"}
    return archive, PERIOD | options | {"variables": ",".join(FEW), "partition_days": 1, "axis_start": "2024-01-01"}


@pytest.fixture(scope="module")
def local(request_, tmp_path_factory):
    """The same store in a directory."""
    archive, options = request_
    store = tmp_path_factory.mktemp("local") / "x.zarr"
    with without_dask() as client:
        hrrr_dask.backfill(**options, store=str(store), client=client, source=[str(archive.root)])
    with xr.open_zarr(store) as opened:
        yield opened.load()


@pytest.fixture(scope="module")
def runs(s3, request_):
    """The command run twice, and the content of the bucket after each."""
    archive, options = request_
    answers = []
    for _ in range(2):
        answer = run_cli("backfill", store=STORE, source=archive.root, workers=2, json=True, **options)
        answers.append((answer, held(s3)))
    return answers


def held(s3, bucket="out"):
    """Key to (entity tag, time of the last write)."""
    listed = s3.client().list_objects_v2(Bucket=bucket).get("Contents", [])
    return {each["Key"]: (each["ETag"], each["LastModified"]) for each in listed}


def assert_same(found, wanted):
    assert set(found.data_vars) == set(wanted.data_vars)
    for name in wanted.variables:
        if wanted[name].dtype == np.float32:
            assert np.array_equal(as_bits(found[name]), as_bits(wanted[name])), name
        elif name != "available_at":  # dates of the bucket's own objects
            assert np.array_equal(found[name], wanted[name]), name


def test_two_workers_fill_a_bucket_from_the_command_line(runs):
    (code, report, stderr), objects = runs[0]
    assert code == 0, stderr
    assert (report["outcome"], report["files_read"], report["partitions_written"]) == ("done", 8, 2)
    assert set(objects) >= {"some/prefix/x.zarr/zarr.json", "some/prefix/x.zarr/temperature_2m/c/1/0/0"}
    assert all(key.startswith("some/prefix/x.zarr/") for key in objects)


def test_the_secret_key_is_in_no_object_of_the_store_no_row_of_its_ledger_and_no_answer(s3, runs):
    client = s3.client()
    keys = [key for key in runs[0][1] if not key.endswith(".parquet")]
    assert len(keys) > 50
    found = [key for key in keys if SECRET.encode() in client.get_object(Bucket="out", Key=key)["Body"].read()]
    rows = to_dataframe(STORE).astype(str)
    assert len(rows) == 8 * len(FEW) - 4, "rain has no message at lead 0"
    found += [name for name in rows if rows[name].str.contains(SECRET).any()]
    found += [where for where, text in zip(("json", "stderr"), runs[0][0][1:], strict=True) if SECRET in str(text)]
    assert found == []


def test_the_second_run_reads_nothing_and_writes_nothing(runs):
    (code, report, _), objects = runs[1]
    assert code == 0
    assert (report["files_read"], report["requests"], report["bytes_written"]) == (0, 0, 0)
    assert objects == runs[0][1]


def test_the_package_opens_the_bucket_with_the_local_stores_values(runs, local):
    with hrrr_dask.open_dataset(STORE) as found:
        assert_same(found.load(), local)
        assert found.sel(point_id="p1").temperature_2m.shape == (4, 2)


def test_plain_xarray_and_s3fs_open_the_bucket_without_a_warning(s3, runs, local, tmp_path):
    """In a child process, because s3fs leaves its connections open until exit."""
    check = (
        "import sys, pickle, warnings; import s3fs, xarray; warnings.simplefilter('error')\n"
        "options = dict(key='testing', secret='testing', endpoint_url=sys.argv[2])\n"
        "found = xarray.open_zarr(sys.argv[1], storage_options=options).load()\n"
        "open(sys.argv[3], 'wb').write(pickle.dumps(found))\n"
    )
    words = [sys.executable, "-c", check, STORE, s3.endpoint, str(tmp_path / "found.pickle")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert_same(np.load(tmp_path / "found.pickle", allow_pickle=True), local)


def test_status_reads_the_bucket(runs):
    status = hrrr_dask.status(STORE)
    assert (status.files_complete, status.files_to_do, status.gaps) == (8, 0, {})


def test_the_archive_itself_may_be_a_bucket(s3, request_, local, tmp_path):
    _, options = request_
    places = {"source": "s3://hrrr", "source_option": ["anonymous=true", f"endpoint={s3.endpoint}"]}
    code, report, stderr = run_cli("backfill", store=tmp_path / "x.zarr", workers=1, json=True, **places, **options)
    assert code == 0, stderr
    assert report["requests"] > 0
    with xr.open_zarr(tmp_path / "x.zarr") as found:
        assert_same(found, local)


# Errors


def bare_environment(tmp_path):
    """An environment without credentials anywhere that botocore looks."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nowhere = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"), "AWS_CONFIG_FILE": str(tmp_path / "none")}
    return clean | nowhere | {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}


def assert_one_screen(stderr):
    assert "Traceback" not in stderr
    assert "error: " in stderr
    assert len(stderr.splitlines()) <= 12, stderr
    assert len(stderr) < 1500, stderr


def test_missing_credentials_are_said_on_one_screen(s3, request_, tmp_path):
    archive, options = request_
    options = options | {"source": archive.root, "store_option": f"endpoint={s3.endpoint}"}
    code, answer, stderr = run_cli(
        "backfill", store=STORE, json=True, environment=bare_environment(tmp_path), **options
    )
    assert code in (1, 2)
    assert_one_screen(stderr)
    assert "no credentials for S3 were found" in stderr
    assert "AWS_PROFILE" in stderr
    assert answer["outcome"] == "failed"
    assert answer["error"]["code"] == "store-access"


def test_a_bucket_that_does_not_exist_is_said_on_one_screen(s3, request_):
    archive, options = request_
    code, _, stderr = run_cli("backfill", store="s3://nowhere/x.zarr", source=archive.root, **options)
    assert code == 1
    assert_one_screen(stderr)
    assert "there is no such bucket; create it first" in stderr
    assert "s3://nowhere/x.zarr" in stderr


def test_an_endpoint_where_nobody_listens_is_named(s3, request_, monkeypatch):
    archive, options = request_
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreAccessError, match=r"127\.0\.0\.1:9") as refused:
        hrrr_dask.backfill(**options, store=STORE, source=[str(archive.root)])
    assert STORE in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_secret_among_the_options_is_refused_without_repeating_it(request_):
    archive, options = request_
    secret = {"secret_access_key": "hunter2"}
    with pytest.raises(ConfigError, match="looks like a secret") as refused:
        hrrr_dask.backfill(**options, store=STORE, source=[str(archive.root)], store_options=secret)
    assert "hunter2" not in str(refused.value)
