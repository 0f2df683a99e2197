"""The fault server follows its script, as seen by a plain HTTP client; scripts are validated and drawn at random."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager, nullcontext
from datetime import datetime
from pathlib import Path

import eccodes
import numpy as np
import pytest
from click.testing import CliRunner
from support.oracle import without_dask
from support.paths import ROOT

import hrrr_dask
from hrrr_dask.archive.fetch import Client, FetchSettings, Tally
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.cli.commands import cli
from hrrr_dask.errors import ConfigError
from hrrr_dask.job import backfill as job_backfill
from hrrr_dask.records import ByteRange, GribFile
from hrrr_dask.testing import MODES, FaultServer, GridWindow, Script, random_script, write_archive
from hrrr_dask.testing.__main__ import main
from hrrr_dask.testing.damage import move_to_other_grid, move_to_other_run, split_messages

BODY = bytes(range(100))
FILE = GribFile(datetime(2024, 1, 1, 3), 1)
GRIB, IDX = object_key(FILE), inventory_key(FILE)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    variables = ["temperature_2m", "surface_pressure", "u_component_wind_10m"]
    return write_archive(
        root, init_times=[FILE.init_time], lead_hours=[1, 2], variables=variables, window=GridWindow(288, 794, 4, 5)
    )


def get(url, byte_range="", **headers):
    """Return status, headers and body; the exception name replaces the status if the connection breaks."""
    wanted = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=wanted | ({"Range": f"bytes={byte_range}"} if byte_range else {}))
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()
    except (http.client.IncompleteRead, ConnectionResetError) as error:
        return type(error).__name__, {}, getattr(error, "partial", b"")
    except urllib.error.URLError as error:
        return type(error.reason).__name__, {}, b""


RESPONSES = {
    "ok": (206, "bytes 10-29/100", BODY[10:30]),
    "whole": (200, None, BODY),
    "page": (200, None, b"<html><body>Over the limit</body></html>"),
    "reset": ("ConnectionResetError", None, b""),
    "short": ("IncompleteRead", None, BODY[10:20]),
    "narrow": (206, "bytes 10-19/100", BODY[10:20]),
    "liar": (206, "bytes 10-29/100", BODY[10:20]),
    "wide": (206, "bytes 10-50/100", BODY[10:51]),
    "surplus": (206, "bytes 10-29/100", BODY[10:30] + BODY[:20]),
    "garbled": (206, "bytes 10-29/100", bytes(255 - byte for byte in BODY[10:30])),
    "cut": (206, "bytes 10-29/50", BODY[10:30]),
    "empty": (416, "bytes */0", b"out of range"),
    "403": (403, None, b"scripted 403"),
    "416": (416, None, b"scripted 416"),
    "429": (429, None, b"scripted 429"),
}


@pytest.mark.parametrize("mode", RESPONSES)
def test_a_range_request_follows_the_script_and_then_succeeds(mode):
    with FaultServer({"/a": BODY}, {"a": [mode]}) as server:
        status, headers, body = get(f"{server.url}/a", "10-29")
        assert (status, headers.get("Content-Range"), body) == RESPONSES[mode]
        assert get(f"{server.url}/a", "10-29")[2] == BODY[10:30]
        assert server.requests == {"/a": 2}
        assert server.served == {mode: 1, "ok": 1} if mode != "ok" else {"ok": 2}


def test_reset_inside_resets_the_connection_within_the_body():
    with FaultServer({"/a": BODY}, {"a": ["reset-inside"]}) as server:
        assert get(f"{server.url}/a", "10-29")[0] == "ConnectionResetError"


def test_stall_sends_half_of_the_body_and_keeps_the_connection_open():
    with FaultServer({"/a": BODY}, {"a": ["stall"]}) as server:
        connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=0.1)
        connection.request("GET", "/a")
        response = connection.getresponse()
        assert response.read(50) == BODY[:50]
        with pytest.raises(TimeoutError):
            response.read(1)
        connection.close()


@pytest.mark.parametrize("status", ["429", "503"])
def test_statuses_429_and_503_send_retry_after(status):
    with FaultServer({"/a": BODY}, {"a": [status]}) as server:
        assert get(f"{server.url}/a")[1]["Retry-After"] == "1"


def test_status_302_redirects_to_a_missing_object():
    with FaultServer({"/a": BODY}, {"a": ["302"]}) as server:
        assert get(f"{server.url}/a")[0] == 404
        assert list(server.requests) == ["/a", "/elsewhere"]


def test_each_version_of_an_object_has_its_own_etag():
    modes = ["ok", "bare", "weak", "reissued", "ok", "replaced", "ok"]
    with FaultServer({"/a": BODY}, {"a": modes}) as server:
        responses = [get(f"{server.url}/a") for _ in modes]
        assert get(f"{server.url}/a", If_Match=responses[0][1]["ETag"])[0] == 412
        assert get(f"{server.url}/a", If_Match=responses[-1][1]["ETag"])[0] == 200
    tags = [headers["ETag"] for _, headers, _ in responses]
    assert tags[1] is None
    assert tags[2] == f"W/{tags[0]}"
    assert tags[3] == tags[4]
    assert tags[5] == tags[6]
    assert len({tags[0], tags[3], tags[5]}) == 3
    assert [body for _, _, body in responses] == [BODY] * 5 + [BODY[::-1]] * 2


# Archives


def decoded(content):
    """Reference time, first latitude and values of each message."""
    found = []
    for message in split_messages(content):
        handle = eccodes.codes_new_from_message(message)
        keys = ("dataTime", "latitudeOfFirstGridPointInDegrees")
        found.append((*(eccodes.codes_get(handle, key) for key in keys), eccodes.codes_get_values(handle)))
        eccodes.codes_release(handle)
    return found


@pytest.mark.parametrize(("change", "differs"), [(move_to_other_run, 0), (move_to_other_grid, 1)])
def test_a_file_of_another_run_or_grid_differs_in_one_header_and_in_all_values(archive, change, differs):
    content = archive.path(FILE).read_bytes()
    found, right = decoded(change(content)), decoded(content)
    assert len(found) == len(right) > 3
    for one, other in zip(found, right, strict=True):
        assert one[differs] != other[differs]
        assert one[1 - differs] == other[1 - differs]
        assert not np.isclose(one[2], other[2]).any()
    assert {hour for hour, _, _ in decoded(move_to_other_run(content))} == {2100}


def test_damaged_inventories_have_other_times_or_offsets(archive):
    right = archive.inventory_path(FILE).read_text()
    modes = ["other-run", "older", "beyond", "cut", "empty", "garbled", "ok"]
    with FaultServer(archive, {IDX: modes}) as server:
        found = dict(zip(modes, (get(f"{server.url}/{IDX}")[2] for _ in modes), strict=True))
    size = archive.path(FILE).stat().st_size

    def offsets(text):
        return [int(line.split(":")[1]) for line in text.splitlines()]

    def rest(text):
        return [line.split(":", 2)[2] for line in text.splitlines()]

    assert found["ok"].decode() == right
    other, older, beyond = (found[mode].decode() for mode in modes[:3])
    assert other.count("d=2023123121:") == len(right.splitlines())
    assert rest(other.replace("d=2023123121:", "d=2024010103:")) == rest(older) == rest(beyond) == rest(right)
    assert offsets(other) == offsets(older)
    assert all(a < b for a, b in zip(offsets(older)[1:], offsets(right)[1:], strict=True))
    assert min(offsets(beyond)) > size
    assert (found["empty"], len(found["cut"])) == (b"", len(right) // 2)


def test_a_directory_is_served_over_http_and_s3_and_is_not_modified(archive):
    content = archive.path(FILE).read_bytes()
    with FaultServer(archive.root, {GRIB: ["ok", "503", "replaced"]}) as server:
        options = {"endpoint": server.url, "anonymous": "true"}
        settings = FetchSettings(attempts=2, backoff_s=0)
        for source in (parse_source(server.url), parse_source("s3://hrrr", options)):
            found = Client(source, settings).read_range(GRIB, ByteRange(0, 40), Tally())
            assert found.data == (content if source.url.startswith("http") else content[::-1])[:40]
        assert server.requests[f"/{GRIB}"] == 3
        assert get(f"{server.url}/../{Path(__file__).name}")[0] == 404
        assert get(f"{server.url}/hrrr/{GRIB}x")[0] == 404
    assert archive.path(FILE).read_bytes() == content


def test_a_mode_that_cannot_be_applied_to_an_object_is_a_500_response():
    with FaultServer({"/a.grib2": b"<html>" * 9}, {"a.grib2": ["other-run"]}) as server:
        status, _, body = get(f"{server.url}/a.grib2")
    assert (status, body[:36]) == (500, b"wanted GRIB2 messages end to end, fo")


# Scripts


@pytest.mark.parametrize(
    ("modes", "text"),
    [
        (["50x"], r"the script of a.idx names '50x': Write a status from 300 to 599 or one of ok, whole, page"),
        (["200"], "Write a status from 300 to 599"),
        (["resett"], "did you mean 'reset'"),
        ([503.5], "names 503.5"),
        (["other-grid"], r"'other-grid', which is for keys that end in \.grib2"),
        (["...", "ok"], r"names '\.\.\.'"),
        (["..."], r"names '\.\.\.'"),
        (iter(lambda: "503", None), r"has no end: end it with '\.\.\.'"),
    ],
)
def test_an_invalid_script_is_an_error(modes, text):
    with pytest.raises(ConfigError, match=text):
        FaultServer({"/a.idx": BODY}, {"a.idx": modes})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ("[]", "does not give each key a list of modes"),
        ('{"a": "503"}', "does not give each key a list of modes"),
        ('{"a": ["503", "..."]}', None),
    ],
)
def test_a_script_is_read_from_a_json_file(tmp_path, text, error):
    path = tmp_path / "script.json"
    if text is not None:
        path.write_text(text)
    if error is None:
        assert json.loads(Script.read(path).as_json()) == json.loads(text)
        return
    with pytest.raises(ConfigError, match=error):
        Script.read(path)


def test_a_random_script_has_the_number_of_faults_and_heals_states_which_objects_recover(archive):
    script = random_script(archive, 50, seed=3, lasting=0.04, spare=[GRIB])
    assert script == random_script(archive.root, 50, seed=3, lasting=0.04, spare=[GRIB])
    assert script != random_script(archive, 50, seed=4, lasting=0.04, spare=[GRIB])
    assert script.n_faults == 50
    assert GRIB not in script.modes
    lasting = [key for key in script.modes if not script.heals(key)]
    assert len(lasting) == 2
    with FaultServer(archive, script) as server:
        for key, modes in script.modes.items():
            for mode in modes:
                if "stall" not in mode:
                    get(f"{server.url}/{key}")
                else:
                    server.begin(f"/{key}", "")
            get(f"{server.url}/{key}")
            right = (archive.root / key).read_bytes()
            assert (get(f"{server.url}/{key}")[::2] == (200, right)) == script.heals(key)
        assert server.served.total() - server.served["ok"] >= 50
    with pytest.raises(ConfigError, match="0 or more faults"):
        random_script(archive, -1, seed=0)


def test_random_scripts_draw_every_mode(archive):
    drawn = {mode for modes in random_script(archive, 2000, seed=0).modes.values() for mode in modes}
    assert set(MODES) - drawn == {"ok", "replaced", "silent", "slow"}
    with pytest.raises(ConfigError, match=r"holds no \.grib2 files"):
        random_script(Path(__file__).parent, 1, seed=0)


# The command line


def test_the_documentation_lists_every_mode_and_its_commands_run(tmp_path, monkeypatch, capsys):
    page = (ROOT / "docs" / "testing.md").read_text().partition("## A store")[0]
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| (.*?) \|", page, re.MULTILINE))
    assert {name: rows.get(name) for name in MODES} == {name: mode.meaning for name, mode in MODES.items()}
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert not Script(json.loads(example)).heals("hrrr.20240101/conus/hrrr.t01z.wrfsfcf00.grib2.idx")
    (block,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    write, script, serve, backfill, stop = (line.removeprefix("$ ") for line in block.splitlines())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.csv").write_text("32.27,-100.36\n")
    assert main(shlex.split(write)[3:]) == 0
    words, _, path = script.partition(" > ")
    capsys.readouterr()
    assert main(shlex.split(words)[3:]) == 0
    (tmp_path / path).write_text(capsys.readouterr().out)
    with serving(shlex.split(serve.removesuffix(" &").replace("8123", "0"))) as (_, url):
        arguments = shlex.split(backfill.replace("http://127.0.0.1:8123", url))
        with without_dask() as client:
            monkeypatch.setattr(job_backfill, "connect", lambda *_: nullcontext(client))
            done = CliRunner().invoke(cli, arguments[1:])
        assert (arguments[0], done.exit_code) == ("hrrr-dask", 0), done.output
        status = hrrr_dask.status(tmp_path / "farms.zarr")
        assert (status.files_complete, status.gaps) == (8, {})
    assert stop == "kill %1; wait"


@contextmanager
def serving(words):
    """Run the command during a block; yields its process and its URL."""
    words = [sys.executable, *words[1:]]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_bad_script_is_an_error_of_the_command(archive, tmp_path, capsys):
    path = tmp_path / "script.json"
    path.write_text(json.dumps({IDX: ["olde"]}))
    assert main(["serve", str(archive.root), "--script", str(path)]) == 2
    assert "did you mean 'older'" in capsys.readouterr().err
    path.write_text(json.dumps({"x" + IDX: ["older"]}))
    assert main(["serve", str(archive.root), "--script", str(path)]) == 2
    assert f"is not in the archive: write one such as {IDX}" in capsys.readouterr().err
    assert main(["serve", str(archive.root), "--script", str(path), "--faults", "3"]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["script", str(archive.root), "--faults", "3", "--seed", "5"]) == 0
    assert Script(json.loads(capsys.readouterr().out)) == random_script(archive, 3, seed=5)


def test_the_command_serves_until_interrupted_and_prints_counts(archive, tmp_path):
    path = tmp_path / "script.json"
    path.write_text(json.dumps({IDX: ["404"]}))
    words = ["python", "-m", "hrrr_dask.testing", "serve", str(archive.root), "--script", str(path)]
    with serving(words) as (process, url):
        assert [get(f"{url}/{IDX}")[0] for _ in range(3)] == [404, 200, 200]
        assert main(["serve", str(archive.root), "--port", url.rpartition(":")[2]]) == 2
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "1 faults; --source" in stderr
    assert re.search(r"1  404\n", stderr)
