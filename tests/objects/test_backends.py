from __future__ import annotations

import pickle
import socket
import time
from datetime import UTC, datetime, timedelta

import botocore.session
import obstore
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer
from obstore.store import GCSStore, HTTPStore, LocalStore

from hrrr_dask.errors import ConfigError, StoreAccessError
from hrrr_dask.objects.backends import CREDENTIAL_LIFETIME, BotocoreCredentials, open_object_store


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path):
    """No credentials, no profile, and a metadata service that answers at once that it is not there."""
    import os

    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")


@pytest.fixture(scope="module")
def moto():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    session = botocore.session.Session()
    session.set_credentials("testing", "testing-secret")
    client = session.create_client("s3", endpoint_url=endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="bucket")
    client.put_object(Bucket="bucket", Key="prefix/open", Body=b"for all", ACL="public-read")
    client.put_object(Bucket="bucket", Key="prefix/mine", Body=b"for me")
    client.close()
    yield endpoint
    server.stop()


def test_a_public_object_is_read_anonymously(moto):
    store = open_object_store("s3://bucket/prefix", {"endpoint": moto, "anonymous": "true"})
    assert bytes(obstore.get(store, "open").bytes()) == b"for all"


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_the_endpoint_comes_from_the_environment(moto, known, monkeypatch, name):
    monkeypatch.setenv(name, moto + "/")
    store = open_object_store("s3://bucket/prefix/")
    assert bytes(obstore.get(store, "mine").bytes()) == b"for me"


def test_an_endpoint_option_goes_before_the_environment(moto, known, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    store = open_object_store("s3://bucket/prefix", {"endpoint": moto}, max_retries=0)
    assert bytes(obstore.get(store, "mine").bytes()) == b"for me"


def test_a_bucket_is_written_and_read_back(moto, known):
    store = open_object_store("s3://bucket/out", {"endpoint": moto}, create=True)
    obstore.put(store, "zarr.json", b"{}")
    assert bytes(obstore.get(store, "zarr.json").bytes()) == b"{}"


def test_a_store_travels_without_its_credentials(moto, known):
    store = open_object_store("s3://bucket/prefix", {"endpoint": moto})
    parcel = pickle.dumps(store)
    assert b"testing-secret" not in parcel
    arrived = pickle.loads(parcel)
    assert arrived == store
    assert bytes(obstore.get(arrived, "mine").bytes()) == b"for me"


def test_a_worker_without_credentials_says_so(known, monkeypatch):
    parcel = pickle.dumps(BotocoreCredentials())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(StoreAccessError, match="no credentials for S3 were found"):
        pickle.loads(parcel)


def test_credentials_are_lent_for_a_while(known, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "for-now")
    lent = BotocoreCredentials()()
    assert (lent["access_key_id"], lent["secret_access_key"], lent["token"]) == ("testing", "testing-secret", "for-now")
    assert timedelta(0) < lent["expires_at"] - datetime.now(UTC) <= CREDENTIAL_LIFETIME


def test_providers_are_alike(known):
    assert {BotocoreCredentials(), BotocoreCredentials()} == {BotocoreCredentials()}


def test_missing_credentials_are_an_error_at_once():
    started = time.monotonic()
    with pytest.raises(StoreAccessError, match="set AWS_PROFILE") as caught:
        open_object_store("s3://bucket")
    assert time.monotonic() - started < 2
    assert "\n" not in str(caught.value)


def test_a_silent_metadata_service_is_not_waited_for_long(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(StoreAccessError, match="no credentials"):
            open_object_store("s3://bucket")
        assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [("AWS_PROFILE", "nobody", "profile"), ("AWS_ACCESS_KEY_ID", "half", "missing: AWS_SECRET_ACCESS_KEY")],
)
def test_credentials_that_cannot_be_used_are_an_error(monkeypatch, name, value, says):
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreAccessError, match=says):
        open_object_store("s3://bucket")


def test_a_role_that_cannot_be_assumed_is_an_error(monkeypatch):
    def refused(self):
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not you"}}, "AssumeRoleWithWebIdentity")

    monkeypatch.setattr(botocore.session.Session, "get_credentials", refused)
    with pytest.raises(StoreAccessError, match=r"cannot be used: .*AccessDenied.*; check"):
        open_object_store("s3://bucket")


@pytest.mark.parametrize(
    ("options", "environment", "region"),
    [
        ({"region": "eu-west-1"}, {"AWS_REGION": "eu-west-2"}, "eu-west-1"),
        ({}, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-2"),
        ({}, {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
        ({}, {}, "us-east-1"),
    ],
)
def test_the_region_is_looked_for_in_order(known, monkeypatch, options, environment, region):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert open_object_store("s3://bucket", options).config["region"] == region


def test_the_region_comes_from_the_profile(monkeypatch, tmp_path):
    (tmp_path / "config").write_text(
        "[profile mine]\nregion = ap-south-1\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    store = open_object_store("s3://bucket")
    assert store.config["region"] == "ap-south-1"
    assert store.credential_provider()["access_key_id"] == "a"


def test_virtual_hosted_style_is_passed_on():
    options = {"anonymous": "true", "virtual_hosted_style": "true", "endpoint": "https://bucket.example.org"}
    assert open_object_store("s3://bucket", options).config["virtual_hosted_style_request"]


def test_timeouts_and_retries_are_passed_on():
    store = open_object_store("http://127.0.0.1:1", timeout_s=3, connect_timeout_s=2, max_retries=4)
    assert isinstance(store, HTTPStore)
    assert store.client_options["timeout"] == "3s"
    assert store.client_options["connect_timeout"] == "2s"
    assert store.retry_config["max_retries"] == 4


def test_google_is_opened_anonymously_or_at_an_endpoint():
    store = open_object_store("gs://bucket/prefix", {"anonymous": "true", "endpoint": "http://127.0.0.1:1"})
    assert isinstance(store, GCSStore)
    assert store.prefix == "prefix"
    assert store.client_options["allow_http"]
    assert open_object_store("gs://bucket", {"anonymous": "true"}).config["skip_signature"]


def test_a_directory_is_made_only_to_be_written_to(tmp_path):
    target = tmp_path / "a" / "b c"
    with pytest.raises(StoreAccessError, match="no such directory on this machine"):
        open_object_store(str(target))
    store = open_object_store(str(target), create=True)
    assert isinstance(store, LocalStore)
    obstore.put(store, "zarr.json", b"{}")
    assert (target / "zarr.json").read_bytes() == b"{}"
    assert bytes(obstore.get(open_object_store(target.as_uri()), "zarr.json").bytes()) == b"{}"


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreAccessError, match="File exists; check the path"):
        open_object_store(str(tmp_path / "taken"), create=True)


def test_a_web_server_is_not_written_to():
    with pytest.raises(ConfigError, match="cannot be written to"):
        open_object_store("https://example.org/store", create=True)


def test_options_are_checked_here_too():
    with pytest.raises(ConfigError, match="looks like a secret"):
        open_object_store("s3://bucket", {"secret_access_key": "x"})
