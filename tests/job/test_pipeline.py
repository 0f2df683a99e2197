"""A step of a partition is written: values first, then the commit; what a killed attempt left is taken up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import zarr
from support.specs import NAMES, SPAN, make_points, make_spec, outcome, read_tree, values_at

from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.job.pipeline import Job, failed_extracts, write_partition
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.outcomes import COMPLETE, NEVER, NOT_INGESTED, OUTCOMES
from hrrr_dask.records import Extract, GribFile, Partition, Reading
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store

T, RAIN = NAMES
TRUNCATED = OUTCOMES["truncated"].number


def job_for(store: Store, job_id: str = "job") -> Job:
    return Job(job_id, store.spec, store.url, (), (), FetchSettings(), "eccodes", 0, "1.2.3")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "s.zarr"), {}, make_spec()).make_or_grow(Growth())


def extract(init: int, lead: int, reasons: dict[str, str] | None = None, points: tuple[int, int] = (0, 5)) -> Extract:
    """The values that belong there, NaN where a reason is given."""
    told = outcome(init, lead, reasons, NAMES if lead else NAMES[:1], points)
    values = np.array([values_at(name, init, lead, np.arange(*points)) for name in told.wanted])
    values[[name in told.reasons for name in told.wanted]] = np.nan
    return Extract(values, told)


def write(store: Store, extracts: list[Extract], *, job: str = "job", attempt: int = 1, step: int = 0):
    readings = tuple(sorted(Reading(each.outcome.file, each.outcome.wanted) for each in extracts))
    return write_partition(Partition(0, readings, step), extracts, job_for(store, job), attempt)


def rows(store: Store) -> list[dict]:
    return store.ledger.read().to_pylist()


def array(store: Store, name: str) -> np.ndarray:
    return np.asarray(zarr.open_group(store.url, mode="r")[name][...])


WHOLE = [extract(init, lead) for init in range(SPAN) for lead in (0, 1)]


def test_a_step_is_written_committed_and_shown(store):
    report = write(store, WHOLE)
    assert (report.number, report.files, report.gaps) == (0, 8, {})
    assert report.bytes_written > 0
    for init in range(SPAN):
        np.testing.assert_array_equal(array(store, RAIN)[init, 1], values_at(RAIN, init, 1, np.arange(5)))
    assert (array(store, "status")[:SPAN] == COMPLETE).all()
    assert [row["outcome"] for row in rows(store)] == ["complete"] * 12
    assert store.value_states(slice(0, SPAN)).whole[0].all()


def test_the_order_of_extracts_leaves_no_trace(store, tmp_path):
    other = Store(str(tmp_path / "t.zarr"), {}, make_spec()).make_or_grow(Growth())
    write(store, WHOLE)
    write(other, WHOLE[::-1])
    assert read_tree(store.url, ledger=False) == read_tree(other.url, ledger=False)
    one, two = ([{**row, "ingested": 0, "entry": ""} for row in rows(each)] for each in (store, other))
    assert one == two


def test_gaps_are_counted_and_told(store):
    report = write(store, [extract(0, 1, {T: "truncated"}), extract(1, 1, dict.fromkeys(NAMES, "unreachable"))])
    assert report.gaps == {"truncated": 1, "unreachable": 2}
    assert array(store, "status")[:2, 1].tolist() == [TRUNCATED, OUTCOMES["unreachable"].number]
    assert rows(store)[0]["detail"] == f"why {T}"


def killed_before_commit(store: Store, extracts: list[Extract], monkeypatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            write(store, extracts, job="killed")


def test_an_attempt_that_was_killed_before_its_commit_is_done_again_to_the_same_bytes(store, tmp_path, monkeypatch):
    other = Store(str(tmp_path / "t.zarr"), {}, make_spec()).make_or_grow(Growth())
    killed_before_commit(store, WHOLE, monkeypatch)
    assert (store.value_states(slice(0, SPAN)).codes[0] == NOT_INGESTED).all(), "nothing is promised"
    write(store, WHOLE)
    write(other, WHOLE)
    assert read_tree(store.url, ledger=False) == read_tree(other.url, ledger=False)


def test_a_gap_whose_value_a_killed_attempt_has_written_is_none(store, monkeypatch):
    killed_before_commit(store, WHOLE, monkeypatch)
    gaps = [extract(0, 1, {T: "not-published"}), extract(1, 1, {RAIN: "truncated"}), extract(2, 0)]
    report = write(store, gaps)
    assert report.gaps == {}
    told = {(row["init_time"], row["variable"]): row for row in rows(store)}
    first = told[gaps[0].outcome.file.init_time, T]
    assert first["outcome"] == "complete"
    assert first["detail"] == f"of an attempt that did not commit; now not-published: why {T}"
    assert first["published"] is None
    np.testing.assert_array_equal(array(store, T)[0, 1], values_at(T, 0, 1, np.arange(5)))
    assert (array(store, "status")[:2, 1] == COMPLETE).all()
    assert (array(store, "available_at")[:2, 1] == NEVER).all(), "nobody knows when that object was published"
    assert array(store, "available_at")[2, 0] > 0


def test_a_gap_of_points_of_which_only_some_were_written_stays_one(store, monkeypatch):
    killed_before_commit(store, [extract(0, 1, points=(0, 3))], monkeypatch)
    assert write(store, [extract(0, 1, {T: "truncated"})]).gaps == {"truncated": 1}


def test_every_try_is_counted_on_in_its_own_entry(store):
    for number in (1, 2):
        write(store, [extract(0, 1, {T: "truncated"})], attempt=number)
    write(store, [extract(0, 1), extract(1, 1)], step=3, job="other")
    tried = [(row["variable"], row["init_time"].hour, row["attempt"]) for row in rows(store)]
    assert tried == [
        (T, 0, 1),
        (RAIN, 0, 1),
        (T, 0, 2),
        (RAIN, 0, 2),
        (T, 0, 3),
        (RAIN, 0, 3),
        (T, 12, 1),
        (RAIN, 12, 1),
    ]
    names = list(dict.fromkeys(row["entry"].partition("Z-")[2] for row in rows(store)))
    assert names == ["job-1.parquet", "job-2.parquet", "other-301.parquet"]


def test_added_points_are_read_and_written_alone(store):
    write(store, WHOLE)
    grown = store.grow(Growth(points=make_points([5, 6])))
    before = rows(grown)
    write(grown, [extract(init, lead, points=(5, 7)) for init in range(SPAN) for lead in (0, 1)], job="later")
    states = grown.value_states(slice(0, SPAN))
    assert states.whole[0].all()
    assert states.whole[1, :, 1].all()
    for init in range(SPAN):
        np.testing.assert_array_equal(array(grown, T)[init, 1], values_at(T, init, 1, np.arange(7)))
    later = [row for row in rows(grown) if row not in before]
    assert {(row["first_point"], row["n_points"]) for row in later} == {(5, 7)}


def test_a_file_on_which_our_own_code_failed_is_all_gaps(store):
    reading = Reading.of(GribFile(store.spec.axis.init_time(1), 1), NAMES, 2)
    (failed,) = failed_extracts(reading, job_for(store), "Traceback …")
    assert failed.values.shape == (2, 3)
    assert np.isnan(failed.values).all()
    assert (failed.outcome.first_point, failed.outcome.n_points) == (2, 5)
    report = write_partition(Partition(0, (reading,)), [failed], replace(job_for(store), job_id="x"))
    assert report.gaps == {"internal-error": 2}
    assert rows(store)[0]["detail"] == "Traceback …"
