"""The memory benchmark: one file is served as thousands of different ones, and memory is sampled when it should be."""

from __future__ import annotations

import os
import threading
import urllib.request
from datetime import datetime
from http.server import ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from benchmarks import memory, patched
from benchmarks.full_archive import with_times
from benchmarks.patched import write_template
from hrrr_dask.catalog.products import object_key
from hrrr_dask.grib.sections import read_header
from hrrr_dask.records import GribFile
from hrrr_dask.testing import GridWindow

FILE = GribFile(datetime(2024, 7, 3, 5), 14)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "template.pickle"
    made = write_template(path, GridWindow(288, 794, 24, 30))
    assert write_template(path, GridWindow(0, 0, 8, 8)) == made, "what is there is kept"
    return made


@pytest.fixture(scope="module")
def url(template):
    handler = type("Handler", (patched._Handler,), {"template": template})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{object_key(FILE)}"
        server.shutdown()


def get(url, byte_range=""):
    request = urllib.request.Request(url, headers={"Range": f"bytes={byte_range}"} if byte_range else {})
    with urllib.request.urlopen(request) as answer:
        return answer.read(), answer.headers


def test_a_file_has_its_own_times_and_the_values_of_all(template, url):
    body, _ = get(url)
    assert body == b"".join(with_times(data, kind, FILE) for kind, data in template.messages)
    lines = get(f"{url}.idx")[0].decode().splitlines()
    assert len(lines) == len(template.messages)
    for line, (_, data) in zip(lines, template.messages, strict=True):
        start = int(line.split(":")[1])
        assert "d=2024070305" in line
        assert read_header(body[start:]).reference_time == FILE.init_time
        assert read_header(body[start:]).length == len(data)


def test_ranges_are_those_of_the_whole(template, url):
    body, _ = get(url)
    size = len(template.messages[0][1])
    for start, stop in ((0, 10), (100, size + 700), (size - 3, size + 2), (len(body) - 5, len(body))):
        part, headers = get(url, f"{start}-{stop - 1}")
        assert part == body[start:stop]
        assert headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(body)}"
    assert get(url, f"{size}-")[0] == body[size:]


def test_memory_is_looked_at_when_so_many_files_are_done(monkeypatch):
    monkeypatch.setattr(memory, "LOOK_S", 0.001)
    seen = iter([*[100] * 30, *[300] * 10_000])
    monkeypatch.setattr(memory, "resident", lambda *_: next(seen))
    progress = SimpleNamespace(files_done=0)
    with memory.Watch(os.getpid(), (2, 5)) as watch:
        watch(progress)
        for done in range(6):
            progress.files_done = done
            while done >= 2 and 2 not in watch.found:
                pass
        while 5 not in watch.found:
            pass
    assert watch.found.keys() == {2, 5}
    assert watch.peak in (100, 300)
