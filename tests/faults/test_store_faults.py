"""A bucket that rejects requests, loses responses or revokes credentials: runs complete, or say what to do."""

from __future__ import annotations

import hashlib
import http.client
import json
import logging
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import UnauthorizedSSOTokenError
from botocore.session import Session
from support.oracle import without_dask
from support.paths import ROOT

import hrrr_dask
from hrrr_dask.errors import ConfigError, StoreAccessError
from hrrr_dask.objects import backends as storage
from hrrr_dask.objects import objects as blobs
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.testing import GridWindow, Rule, StoreProxy, loopback_s3, write_archive
from hrrr_dask.testing.__main__ import main
from hrrr_dask.testing.s3_proxy import REFUSALS, read_rules

WINDOW = GridWindow(288, 794, 8, 10)
AGAIN = "run the same command again"


@pytest.fixture(scope="module")
def s3():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with loopback_s3() as server, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.create_bucket("out")
        yield server


@pytest.fixture
def proxy(s3, monkeypatch):
    with StoreProxy(s3.endpoint, delay_s=0.002) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        yield server


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(blobs, "WRITE_RETRIES", 1)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    inits = [datetime(2024, 1, day, 12) for day in (1, 2)]
    root = tmp_path_factory.mktemp("archive")
    return write_archive(root, init_times=inits, lead_hours=[1], variables=["temperature_2m"], window=WINDOW)


@pytest.fixture(scope="module")
def fill(archive):
    latitude, longitude = WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))
    points = pd.DataFrame({"point_id": ["a", "b"], "latitude": latitude, "longitude": longitude})
    wanted = {
        "engine": "eccodes",
        "variables": ["temperature_2m"],
        "cycles": [12],
        "lead_hours": [1],
        "axis_start": "2024-01-01",
    }

    def fill(name, end="2024-01-02", days=1):
        with without_dask() as client:
            return hrrr_dask.backfill(
                points,
                "2024-01-01",
                end,
                f"s3://out/{name}.zarr",
                client=client,
                source=[str(archive.root)],
                partition_days=days,
                **wanted,
            )

    return fill


def held(s3, name):
    """Key to the digest of every object of a store, except its ledger."""
    client = s3.client()
    listed = client.list_objects_v2(Bucket="out", Prefix=f"{name}.zarr/").get("Contents", [])
    found = {}
    for key in (each["Key"] for each in listed):
        body = client.get_object(Bucket="out", Key=key)["Body"].read()
        found[key.partition("/")[2]] = hashlib.sha256(body).hexdigest()
    return {key: digest for key, digest in found.items() if not key.startswith(".hrrr/")}


@pytest.fixture(scope="module")
def undisturbed(s3, fill):
    """The store's objects after an undisturbed run through a proxy that does nothing."""
    with StoreProxy(s3.endpoint) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", server.url)
        assert fill("undisturbed").outcome == "done"
        assert server.served == {"ok": server.requests.total()}
    return held(s3, "undisturbed")


@pytest.mark.parametrize(
    "rule",
    [
        Rule("503", "PUT", key="/(growth|ledger|c/1/0/0|zarr.json)", times=1, each=True),
        Rule("500", after=20, times=3),
        Rule("reset", key="temperature", times=2),
        Rule("lost", "PUT", times=1, each=True),
        Rule("slow"),
    ],
    ids=lambda rule: rule.refusal,
)
def test_what_passes_is_waited_for_and_leaves_no_trace(rule, s3, proxy, fill, undisturbed):
    name = f"passes-{rule.refusal}"
    proxy.follow(rule)
    assert fill(name).outcome == "done"
    assert proxy.served[rule.refusal] > 1
    assert held(s3, name) == undisturbed


def test_an_answer_that_is_lost_when_an_object_is_replaced_is_no_conflict(s3, proxy, fill, undisturbed):
    fill("replaced", end="2024-01-01", days=2)
    fill("whole", days=2)
    proxy.follow(Rule("lost", "PUT", times=1, each=True))
    assert fill("replaced", days=2).outcome == "done"
    assert proxy.served["lost"] > 3
    found, whole = held(s3, "replaced"), held(s3, "whole")
    assert found.pop("zarr.json") != whole.pop("zarr.json"), "the root knows in how many steps it grew"
    assert found == whole


EXPIRED = rf"s3://out/.*: the credentials have expired; renew them and {AGAIN}.*ExpiredToken"
REFUSES = rf"s3://out/.*: the store refuses requests for now; wait, then {AGAIN}.*SlowDown"
DENIED = rf"s3://out/.*: permission denied; check the credentials and the rights of .*, then {AGAIN}.*AccessDenied"
SILENT = rf"s3://out/.*: the store does not answer as it should; see what is wrong there and {AGAIN}"


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Rule("503", "PUT", key="/temperature_2m/c/1/"), REFUSES),
        (Rule("expired", after=30), EXPIRED),
        (Rule("expired", "GET", key="/ledger/"), EXPIRED),
        (Rule("expired-403", "PUT", key="/ledger/000001"), EXPIRED),
        (Rule("403", "PUT", key="/ledger/"), DENIED),
        (Rule("500", "PUT", key="out/[^/]*/zarr.json"), SILENT),
        (Rule("reset", "PUT", after=41), SILENT),
    ],
    ids=lambda value: f"{value.refusal} {value.method} {value.key} {value.after}" if isinstance(value, Rule) else "",
)
def test_what_does_not_pass_ends_in_words_and_the_same_command_does_the_rest(
    rule, says, s3, proxy, impatient, fill, undisturbed, request
):
    name = f"ends-{request.node.callspec.indices['rule']}"
    proxy.follow(rule)
    with pytest.raises(StoreAccessError, match=says) as ended:
        fill(name)
    text = str(ended.value)
    assert "\n" not in text
    assert "<" not in text
    proxy.follow()
    report = fill(name)
    assert (report.outcome, report.files_done_before + report.files_read) == ("done", 2)
    assert held(s3, name) == undisturbed
    status = hrrr_dask.status(f"s3://out/{name}.zarr")
    assert (status.files_complete, status.files_to_do, status.gaps) == (2, 0, {})


def test_writers_are_patient_and_readers_are_told_soon(s3, monkeypatch):
    seen = []
    monkeypatch.setattr(blobs, "open_object_store", lambda *_, **options: seen.append(options.get("max_retries", 6)))
    Blobs("s3://out/x", {}, create=True)
    Blobs("s3://out/x", {})
    pauses_s = [[min(15, 0.1 * 2**k) for k in range(retries)] for retries in seen]
    assert 60 < sum(pauses_s[0]) < 120
    assert sum(pauses_s[1]) < 10


def test_credentials_that_cannot_be_renewed_in_the_middle_say_how(s3, monkeypatch):
    monkeypatch.setattr(storage, "CREDENTIAL_LIFETIME", timedelta(0))
    place = Blobs("s3://out/sso", {}, create=True)
    place.put("a", b"")

    def expired(_):
        raise UnauthorizedSSOTokenError

    monkeypatch.setattr(Credentials, "get_frozen_credentials", expired)
    with pytest.raises(StoreAccessError, match=f"cannot write a to .*{AGAIN}.*has expired.*aws sso login"):
        place.put("a", b"")


# The proxy


def test_a_proxy_passes_on_all_that_a_client_of_s3_sends(s3, proxy):
    client = Session().create_client("s3", region_name="us-east-1", endpoint_url=proxy.url)
    client.put_object(Bucket="out", Key="p/a b", Body=b"0123456789")
    assert client.head_object(Bucket="out", Key="p/a b")["ContentLength"] == 10
    answer = client.get_object(Bucket="out", Key="p/a b", Range="bytes=2-4")
    assert (answer["Body"].read(), answer["ContentRange"]) == (b"234", "bytes 2-4/10")
    upload = client.create_multipart_upload(Bucket="out", Key="p/m")["UploadId"]
    client.abort_multipart_upload(Bucket="out", Key="p/m", UploadId=upload)
    client.delete_object(Bucket="out", Key="p/a b")
    assert client.list_objects_v2(Bucket="out", Prefix="p/")["KeyCount"] == 0
    assert set(proxy.requests) == {"PUT", "HEAD", "GET", "POST", "DELETE"}


def test_rules_count_what_they_mean_and_the_first_that_meets_decides():
    rules = [Rule("503", "PUT", key="/c/", after=1, times=2), Rule("403", key="x$", times=1, each=True)]
    asked = [("PUT", "/c/1"), ("GET", "/c/1"), ("PUT", "/c/x"), ("PUT", "/c/x"), ("PUT", "/c/x"), ("GET", "/y/x")]
    with StoreProxy("http://127.0.0.1:1", *rules) as proxy:
        assert [proxy.begin(*each) for each in asked] == ["ok", "ok", "503", "503", "403", "403"]
        assert proxy.begin("GET", "/y/x") == "ok"
        proxy.follow()
        assert proxy.begin("PUT", "/c/1") == "ok"


def test_an_s3_that_is_not_there_is_a_bad_gateway_and_a_stalled_one_is_silent():
    with StoreProxy("http://127.0.0.1:1", Rule("stall", "HEAD")) as proxy:
        place = proxy.url.removeprefix("http://")
        connection = http.client.HTTPConnection(place, timeout=5)
        connection.request("GET", "/a")
        assert connection.getresponse().status == 502
        connection.close()
        connection = http.client.HTTPConnection(place, timeout=0.1)
        connection.request("HEAD", "/a")
        with pytest.raises(TimeoutError):
            connection.getresponse()
        connection.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"refusal": "expird"}]', "did you mean 'expired'"),
        (
            '[{"refusal": "200"}]',
            "Write a status from 300 to 599 or one of expired, expired-403, reset, lost",
        ),
        ('[{"refusal": "503", "after": -1}]', "counts from 0"),
        ('[{"refusal": "503", "key": "("}]', "which is not a regular expression"),
        ('[{"refusal": "503", "verb": "PUT"}]', r"holds no rules .*verb.*: write \[\{"),
        ("{", "holds no rules"),
        ('["503"]', "holds no rules"),
        (None, "cannot be read"),
    ],
)
def test_bad_rules_are_refused_with_what_to_write(tmp_path, text, says, capsys):
    path = tmp_path / "rules.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_rules(path)
    assert main(["proxy", "http://127.0.0.1:1", "--rules", str(path)]) == 2
    assert "error: " in capsys.readouterr().err


def test_the_page_on_testing_has_every_refusal_and_rules_that_can_be_read(tmp_path):
    page = (ROOT / "docs" / "testing.md").read_text().partition("## A store")[2]
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.*?) \|$", page, re.MULTILINE))
    assert rows == REFUSALS
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (tmp_path / "rules.json").write_text(example)
    assert read_rules(tmp_path / "rules.json") == (
        Rule("503", "PUT", key="/c/", after=10, times=30),
        Rule("expired", after=500),
    )


def test_an_endpoint_that_is_no_plain_http_is_refused():
    with pytest.raises(ConfigError, match="give it as http://HOST:PORT"):
        StoreProxy("https://s3.example.org")


def test_the_command_stands_in_front_and_reads_its_rules_again_when_told(s3, tmp_path):
    path = tmp_path / "rules.json"
    path.write_text(json.dumps([{"refusal": "503", "method": "PUT"}]))
    words = [sys.executable, "-m", "hrrr_dask.testing", "proxy", s3.endpoint, "--rules", str(path)]

    def put(url):
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
        connection.request("PUT", "/out/command", b"x")
        status = connection.getresponse().status
        connection.close()
        return status

    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        assert put(url) == 503
        path.write_text("[]")
        process.send_signal(signal.SIGHUP)
        while "reloaded" not in process.stderr.readline():
            pass
        assert put(url) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
