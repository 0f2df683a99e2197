"""A store has the same bits with every engine and every length of prefix; ledger and report name the engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime

import dask
import eccodes
import numpy as np
import pytest
from support.oracle import content_digests, without_dask

import hrrr_dask
from hrrr_dask.grid.points import Points
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.testing import GridWindow, drop_message, remove_inventories, write_archive

WINDOW = GridWindow(60, 0, 80, 1799)
"""Full rows, so that messages are large enough for prefix reads."""
START, END = datetime(2024, 7, 1, 6), datetime(2024, 7, 1, 18)
NAMES = [
    "surface_pressure",
    "temperature_2m",
    "u_component_wind_10m",
    "v_component_wind_10m",
    "precipitation_1h",
    "visible_beam_downward_solar_flux",
    "boundary_layer_height",
]
"""Night and day, simple and complex packing, fields of one value; the last one has an open end in inventories."""
N_VALUES = 2 * 2 * len(NAMES)


@pytest.fixture
def archive(tmp_path):
    return write_archive(
        tmp_path / "archive",
        init_times=[START, END],
        lead_hours=[1, 2],
        window=WINDOW,
        variables=NAMES,
        decoys=False,
    )


def points() -> Points:
    """Points in the southern half."""
    y, x = np.array([2.1, 17.3, 38.9, 38.9]), np.array([1700.2, 3.4, 900.0, 901.0])
    latitude, longitude = WINDOW.latlon(y, x)
    ids = tuple("abcd")
    return Points(point_id=ids, name=ids, latitude=latitude, longitude=longitude)


def fill(archive, store, **settings):
    wanted = {"variables": NAMES, "cycles": [6, 18], "lead_hours": [1, 2], "axis_start": "2024-07-01"} | settings
    with without_dask() as client, dask.config.set({"hrrr.fetch.merge-gap-kb": 0}):
        return hrrr_dask.backfill(points(), START, END, str(store), client=client, source=[str(archive.root)], **wanted)


def engines(store) -> Counter:
    rows = to_dataframe(str(store))
    return Counter(rows[rows.outcome == "complete"].engine)


def repack(archive, file, name: str) -> None:
    """Write one message as IEEE numbers, which numba does not support; its values stay."""
    content, lines, before = archive.path(file).read_bytes(), archive.inventory_path(file).read_text().splitlines(), 0
    messages, number = [], NAMES.index(name)
    while before < len(content):
        length = int.from_bytes(content[before + 8 : before + 16], "big")
        messages.append(content[before : before + length])
        before += length
    handle = eccodes.codes_new_from_message(messages[number])
    values = eccodes.codes_get_values(handle)
    eccodes.codes_set(handle, "packingType", "grid_ieee")
    eccodes.codes_set_values(handle, values)
    messages[number] = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    offsets = np.cumsum([0, *map(len, messages)])
    lines = [f"{n}:{offsets[n - 1]}:{line.split(':', 2)[2]}\n" for n, line in enumerate(lines, 1)]
    archive.path(file).write_bytes(b"".join(messages))
    archive.inventory_path(file).write_text("".join(lines))


@pytest.mark.parametrize("with_inventories", [True, False])
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_engines_write_the_same_bits_and_the_ledger_says_which(archive, tmp_path, with_inventories, method):
    if not with_inventories:
        remove_inventories(archive)
    reports = {
        name: fill(archive, tmp_path / name, engine=name, method=method) for name in ("auto", "numba", "eccodes")
    }
    assert {report.outcome for report in reports.values()} == {"done"}
    assert (
        content_digests(tmp_path / "auto")
        == content_digests(tmp_path / "numba")
        == content_digests(tmp_path / "eccodes")
    )
    for name, used in (("auto", "numba"), ("numba", "numba"), ("eccodes", "eccodes")):
        assert reports[name].decoded_by == engines(tmp_path / name) == {used: N_VALUES}
    assert reports["auto"].bytes_read < 0.75 * reports["eccodes"].bytes_read


def test_a_message_that_numba_does_not_know_is_decoded_by_eccodes_and_counted(archive, tmp_path):
    fill(archive, tmp_path / "before")
    repack(archive, archive.files[2], "temperature_2m")
    report = fill(archive, tmp_path / "x")
    assert (report.outcome, report.decoded_by) == ("done", {"numba": N_VALUES - 1, "eccodes": 1})
    assert engines(tmp_path / "x") == report.decoded_by
    (row,) = to_dataframe(str(tmp_path / "x")).query("engine == 'eccodes'").itertuples()
    file = archive.files[2]
    assert (row.init_time, row.lead_hours, row.variable) == (file.init_time, file.lead_hours, "temperature_2m")
    assert content_digests(tmp_path / "x", dates=False) == content_digests(tmp_path / "before", dates=False)


def test_the_engine_that_does_not_know_it_leaves_a_gap_when_it_is_named(archive, tmp_path):
    repack(archive, archive.files[2], "temperature_2m")
    report = fill(archive, tmp_path / "x", engine="numba")
    assert (report.gaps, report.decoded_by) == ({"decode-failed": 1}, {"numba": N_VALUES - 1})
    assert fill(archive, tmp_path / "x", engine="auto", retry_gaps=True).decoded_by["eccodes"] == 1


def test_nobody_decodes_a_gap(archive, tmp_path):
    drop_message(archive, archive.files[0], "v_component_wind_10m")
    report = fill(archive, tmp_path / "x")
    assert report.gaps == {"message-not-found": 2}
    assert report.decoded_by == engines(tmp_path / "x") == {"numba": N_VALUES - 2}


def test_without_prefix_reads_messages_are_read_whole_to_the_same_bits(archive, tmp_path):
    report = fill(archive, tmp_path / "x")
    with dask.config.set({"hrrr.fetch.prefix-reads": False}):
        whole = fill(archive, tmp_path / "whole")
        reference = fill(archive, tmp_path / "reference", engine="eccodes")
    assert whole.bytes_read == reference.bytes_read > report.bytes_read
    assert whole.decoded_by == {"numba": N_VALUES}
    assert content_digests(tmp_path / "x") == content_digests(tmp_path / "whole")


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_few_points_far_apart_read_few_bytes_of_messages_with_simple_packing(tmp_path, method):
    window, names = GridWindow(60, 0, 400, 1799), ["u_component_wind_10m", "v_component_wind_10m"]
    archive = write_archive(
        tmp_path / "archive", init_times=[START], lead_hours=[1], window=window, variables=names, decoys=False
    )
    latitude, longitude = window.latlon(np.array([2.1, 210.7, 398.4]), np.array([1700.2, 3.4, 900.0]))
    places = Points(point_id=("s", "c", "n"), name=("s", "c", "n"), latitude=latitude, longitude=longitude)
    reports = {}
    for engine in ("auto", "numba", "eccodes"):
        with without_dask() as client:
            reports[engine] = hrrr_dask.backfill(
                places,
                START,
                START,
                str(tmp_path / engine),
                client=client,
                source=[str(archive.root)],
                variables=names,
                cycles=[6],
                lead_hours=[1],
                axis_start="2024-07-01",
                engine=engine,
                method=method,
            )
    assert {report.outcome for report in reports.values()} == {"done"}
    assert content_digests(tmp_path / "auto") == content_digests(tmp_path / "numba")
    assert content_digests(tmp_path / "auto") == content_digests(tmp_path / "eccodes")
    whole = archive.path(archive.files[0]).stat().st_size
    assert reports["eccodes"].bytes_read > whole
    # The last message has an open end and is read whole; the other one needs its header and three places.
    assert whole / 2 < reports["auto"].bytes_read == reports["numba"].bytes_read < 0.52 * whole


def test_points_added_further_north_move_how_far_messages_are_read(archive, tmp_path):
    fill(archive, tmp_path / "x")
    latitude, longitude = WINDOW.latlon(np.array([78.0]), np.array([5.0]))
    north = Points(point_id=("n",), name=("n",), latitude=latitude, longitude=longitude)
    with without_dask() as client, dask.config.set({"hrrr.fetch.merge-gap-kb": 0}):
        hrrr_dask.add_points(str(tmp_path / "x"), north, client=client)
    both = replace(
        points(),
        **{key: tuple("abcdn") for key in ("point_id", "name")},
        latitude=np.append(points().latitude, latitude),
        longitude=np.append(points().longitude, longitude),
    )
    with without_dask() as client:
        settings = {"variables": NAMES, "cycles": [6, 18], "lead_hours": [1, 2], "axis_start": "2024-07-01"}
        source = [str(archive.root)]
        hrrr_dask.backfill(
            both, START, END, str(tmp_path / "y"), client=client, source=source, engine="eccodes", **settings
        )
    first, second = (hrrr_dask.open_dataset(str(tmp_path / each))[NAMES].load() for each in ("x", "y"))
    for name in NAMES:
        assert first[name].to_numpy().tobytes() == second[name].to_numpy().tobytes()
        assert np.isfinite(first[name].sel(point_id="n")).all()
