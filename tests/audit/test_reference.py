"""The reference: it shares no code with the pipeline, and finds the same cells, directions and messages."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import eccodes
import numpy as np
import obstore
import pytest
from support import needs
from support.oracle import nearest_cells, read_fields
from support.packed import section_starts
from support.paths import SHARED_DATA

import hrrr_dask
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.audit.reference import NoValues, locate_points, open_object, read_values
from hrrr_dask.audit.reference.geometry import CellPositions, compute_cell_positions, find_nearest, unit_vectors
from hrrr_dask.audit.reference.message_keys import matches_window, read_keys
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.errors import AccessDeniedError, NotPublishedError, StoreAccessError, StoreError, UnreachableError
from hrrr_dask.grid.definition import find_bilinear_cells, find_nearest_cells, read_grid
from hrrr_dask.records import Forecast, GribFile
from hrrr_dask.testing import FaultServer, GridWindow

WINDOW = GridWindow(288, 794, 14, 18)

STAGES = {
    *("archive.failover", "archive.index_scan", "archive.inventory", "archive.messages", "archive.prefixes"),
    *("archive.fetch", "archive.responses", "decode", "grib.identity", "grib.packing", "grib.sections"),
    *("grid.definition", "grid.interpolation", "grid.projection", "job.extract", "job.pipeline", "read.gather"),
}
VERIFIER = ("audit/compare.py", "audit/verify.py", "report/differences.py", "ledger/expected.py")


def test_the_reference_imports_no_stage_of_the_pipeline():
    code = "import json, sys, hrrr_dask.audit.reference; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.removeprefix("hrrr_dask.") for name in json.loads(done.stdout) if name.startswith("hrrr_dask.")}
    assert "audit.reference.values" in loaded
    assert not loaded & STAGES
    root = Path(hrrr_dask.__file__).parent
    for stage in STAGES:
        path = root / stage.replace(".", "/")
        assert path.with_suffix(".py").exists() or path.is_dir(), f"{stage} was renamed"
    for name in VERIFIER:
        assert not [stage for stage in STAGES if f"hrrr_dask.{stage} " in (root / name).read_text()]


# Downloads


@pytest.mark.parametrize(
    ("key", "error", "text"),
    [
        ("no/such.grib2", NotPublishedError, r"/no/such\.grib2 does not exist"),
        ("secret", AccessDeniedError, "denies access to secret: check the credentials"),
        ("short", UnreachableError, "the download of http.*/short failed 3 times"),
    ],
)
def test_a_failed_download_is_an_error(key, error, text):
    objects = {"/secret": b"GRIB", "/short": bytes(2_000_000)}
    script = {"/secret": ["403"], "/short": ["short", "..."]}
    with FaultServer(objects, script) as server, pytest.raises(error, match=text):
        open_object(parse_source(server.url), key).__enter__()


def test_an_incomplete_download_is_an_error(monkeypatch):
    monkeypatch.setattr(obstore, "get", lambda *_: SimpleNamespace(stream=lambda **_: [b"GRIB"] * 2, meta={"size": 9}))
    with pytest.raises(UnreachableError, match=r"the download of .*/x failed 3 times: received 8 of 9 bytes"):
        open_object(parse_source("http://127.0.0.1:9"), "x").__enter__()


def test_a_full_disk_is_an_error_that_names_tmpdir(monkeypatch):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with (
        FaultServer({"/file": bytes(2_000_000)}) as server,
        pytest.raises(StoreAccessError, match="No space left on device; set TMPDIR"),
    ):
        open_object(parse_source(server.url), "file").__enter__()


def test_a_download_uses_little_memory_and_leaves_no_file(tmp_path):
    n_bytes = 120_000_000
    code = (
        "import json, os, resource, sys\n"
        "from hrrr_dask.audit.reference import open_object\n"
        "from hrrr_dask.archive.sources import parse_source\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "source, before = parse_source(sys.argv[1]), peak()\n"
        "with open_object(source, 'big') as (file, size):\n"
        "    last = file.seek(-1, 2)\n"
        "print(json.dumps([size, last, peak() - before, os.listdir(os.environ['TMPDIR'])]))"
    )
    with FaultServer({"/big": bytes(n_bytes)}) as server:
        command = [sys.executable, "-c", code, server.url]
        done = subprocess.run(command, env={"TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=True)
    size, last, grown, left = json.loads(done.stdout)
    assert (size, last, left) == (n_bytes, n_bytes - 1, [])
    assert grown < 50_000_000


# Cells and messages


def test_the_nearest_cell_is_the_nearest_of_all_cells():
    rng = np.random.default_rng(0)
    scattered = CellPositions(np.arcsin(rng.uniform(-1, 1, (101, 97))), rng.uniform(-np.pi, np.pi, (101, 97)))
    for grid in (scattered, compute_cell_positions(WINDOW.section3())):
        xyz = unit_vectors(grid.latitude, grid.longitude)
        points = xyz.reshape(-1, 3)[rng.integers(0, xyz.size // 3, 50)] + rng.normal(scale=1e-4, size=(50, 3))
        points /= np.linalg.norm(points, axis=-1, keepdims=True)
        nearest = [int((xyz.reshape(-1, 3) @ point).argmax()) for point in points]
        assert find_nearest(grid, points).tolist() == nearest


@pytest.mark.parametrize("domain", ["conus", "alaska"])
def test_cells_weights_and_directions_equal_those_of_the_projection(domain):
    window = GridWindow(700, 1000, 60, 55, domain)
    rng = np.random.default_rng(5)
    y, x = ([1, n - 3, *rng.uniform(1, n - 3, 4)] for n in (window.ny, window.nx))
    latitude, longitude = window.latlon(np.array(y), np.array(x))
    grid = read_grid(window.section3())
    one, four = (locate_points(window.section3(), latitude, longitude, method) for method in ("nearest", "bilinear"))
    assert np.array_equal(one.index, find_nearest_cells(grid, latitude, longitude).index)
    assert np.array_equal(four.index, find_bilinear_cells(grid, latitude, longitude).index)
    np.testing.assert_allclose(four.weight, find_bilinear_cells(grid, latitude, longitude).weight, rtol=0, atol=1e-9)
    _, cell_longitude = grid.latlon(*np.divmod(one.index, grid.nx))
    angle = grid.wind_angle(cell_longitude)
    rows = np.stack([np.cos(angle), -np.sin(angle)], axis=-1)
    columns = np.stack([np.sin(angle), np.cos(angle)], axis=-1)
    np.testing.assert_allclose(one.axes, np.stack([rows, columns], axis=-2), rtol=0, atol=1e-10)


def test_a_damaged_grid_section_is_a_store_error():
    section = bytearray(WINDOW.section3())
    section[13] = 99
    with pytest.raises(StoreError, match="cannot compute the cells of the store's grid"):
        compute_cell_positions(bytes(section))


@needs.real_bytes
def test_real_messages_are_distinguished_by_their_windows():
    path = SHARED_DATA / "messages" / "hrrr.20201214.t00z.wrfsfcf12.APCP-two-windows.grib2"
    points = np.array([(40.0, -100.0), (47.6, -122.3), (25.8, -80.2)])
    run, hour = Selector.parse("APCP:surface:run acc"), Selector.parse("APCP:surface:1 hour acc")
    either, other = Selector.parse("APCP:surface"), Selector.parse("WEASD:surface:run acc")
    fields = {field.step: field for field in read_fields(path)}
    message = fields["0-12"].message
    starts = section_starts(message)
    cells = locate_points(message[starts[3] : starts[4]], *points.T, "nearest")
    with path.open("rb") as file:
        found = read_values(
            file, Forecast(GribFile(datetime(2020, 12, 14), 12), 720), [run, hour, either, other], cells
        )
    nearest = nearest_cells(fields["0-12"].latitude, fields["0-12"].longitude, points)
    assert found[run].values.tolist() == fields["0-12"].values[nearest].astype(np.float32).tolist()
    assert found[hour].values.tolist() == fields["11-12"].values[nearest].astype(np.float32).tolist()
    assert found[either] == NoValues("ambiguous-message", "the file has 2 messages of APCP:surface")
    assert found[other] == NoValues("message-not-found", "the file has no message of WEASD:surface:run acc")


@needs.real_bytes
def test_windows_of_minutes_are_read_and_matched():
    path, keys = SHARED_DATA / "messages" / "hrrr.20221014.t01z.wrfsubhf.REFC-VBDSF.grib2", []
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            keys.append(read_keys(handle))
            eccodes.codes_release(handle)
    assert [(each.element, each.level, each.window) for each in keys] == [
        ("REFC", "entire atmosphere", ("instant", 15, 15)),
        ("VBDSF", "surface", ("ave", 0, 15)),
    ]
    hour = replace(keys[1], window=("ave", 45, 60))
    assert matches_window(hour, Selector.parse("VBDSF:surface:15 min ave"), 60)
    assert not matches_window(keys[1], Selector.parse("VBDSF:surface:15 min ave"), 60)
    assert not matches_window(hour, Selector.parse("VBDSF:surface:1 hour ave"), 60)
