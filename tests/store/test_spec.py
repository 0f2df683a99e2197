"""What a store is: steps of growth that lead to it, what it says of itself, and what readers of an earlier one see."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import datetime

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from support.specs import AXIS, NAMES, SELECTION, as_created, make_points, make_spec
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import MemoryStore

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.errors import ConfigError, PlanError, PointsError
from hrrr_dask.grid.cell_surface import CellSurface
from hrrr_dask.grid.points import Points
from hrrr_dask.planning.layout import Axis
from hrrr_dask.store.point_rows import point_steps, points_of, surface_of
from hrrr_dask.store.spec import (
    MAX_COHORTS,
    Cohort,
    Growth,
    StoreSpec,
    apply_growth,
    axis_of,
    encode_step,
    first_step,
    identity,
    selection_of,
    settings_of,
    spec_of,
)
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.testing import DEFAULT_WINDOW

NEW = parse_variables(["wind_gust_surface", "relative_humidity_2m"])
SPEC = as_created(make_spec())


def same(one: StoreSpec, other: StoreSpec) -> bool:
    """Cells are arrays, which have no equality of their own."""
    for name in (field.name for field in fields(StoreSpec)):
        if name != "cells" and getattr(one, name) != getattr(other, name):
            return False
    return all(
        getattr(one.cells, field.name).tobytes() == getattr(other.cells, field.name).tobytes()
        for field in fields(one.cells)
    )


def through_json(step: dict) -> dict:
    found: dict = json.loads(encode_step(step))
    return found


def grow(spec: StoreSpec, growth: Growth) -> StoreSpec:
    """As a store does it: by a step that was an object in between."""
    step = growth.step_from(spec)
    return apply_growth(spec, through_json(step), spec.growth + 1) if step else spec


def test_a_specification_knows_its_sizes():
    spec = make_spec(5)
    assert (spec.n_init, spec.span, spec.grid.nx) == (10, 4, DEFAULT_WINDOW.nx)
    assert spec.cohort_sizes == ()
    assert SPEC.cohort_sizes == (5,)


def test_the_first_step_makes_the_store():
    spec = make_spec(n_days=3, asked_from=1)
    store = apply_growth(None, through_json(first_step(spec)), 0)
    assert store.cohorts == (Cohort(5, spec.points.digest(), 0),)
    assert same(replace(store, cohorts=()), spec)
    assert first_step(store) == first_step(spec)


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_a_store_is_found_again_in_what_it_says_of_itself(method):
    spec = grow(
        as_created(make_spec(selection=replace(SELECTION, method=method))), Growth(9, 12, NEW, make_points([7, 8]))
    )
    said = json.loads(json.dumps(settings_of(spec)))
    assert same(spec_of(said, spec.points), spec)
    assert selection_of(said) == spec.selection
    assert axis_of(said) == spec.axis


def test_the_points_of_a_store_are_those_of_the_steps_that_brought_them():
    first = through_json(first_step(SPEC))
    steps = [first, through_json(Growth(points=make_points([8, 6])).step_from(SPEC))]
    assert points_of(steps[:1]) == SPEC.points
    assert points_of(steps).point_id == ("p0", "p1", "p2", "p3", "p4", "p8", "p6")


def test_a_step_has_only_what_the_store_does_not_have():
    assert Growth().step_from(SPEC) == {}
    assert Growth(0, 4, SELECTION.variables, SPEC.points.take([3, 1])).step_from(SPEC) == {}
    late = replace(SPEC, asked_from=2)
    step = Growth(1, 5, (*SELECTION.variables, NEW[0]), make_points([1, 9])).step_from(late)
    assert step == {
        "asked_from": 1,
        "n_days": 5,
        "variables": [f"{NEW[0].name}={NEW[0].selector}"],
        "points": {
            "point_id": ["p9"],
            "name": ["place 9, Süd"],
            "latitude": make_points([9]).latitude.tolist(),
            "longitude": make_points([9]).longitude.tolist(),
        },
    }
    assert Growth(3, 3).step_from(late) == {}


def moved(which: list[int]) -> Points:
    """Points of those ids at other places."""
    points = make_points(which)
    return Points(points.point_id, points.name, points.latitude + 0.01, points.longitude)


def test_what_the_store_has_may_be_among_what_is_added():
    Growth().check(SPEC, "x")
    Growth(9, 9, (*SELECTION.variables, *NEW), make_points([9, 1])).check(SPEC, "x")
    Growth(points=Points(("p1",), ("another name",), *zip(SPEC.points.coordinates()["p1"], strict=True))).check(
        SPEC, "x"
    )


def test_other_places_under_the_same_ids_are_refused():
    with pytest.raises(
        PointsError, match=r"^p1, p3: the store has that point_id at other coordinates; give new points new ids$"
    ):
        Growth(points=make_points([9]).concat(moved([1, 3]))).check(SPEC, "x")
    with pytest.raises(PointsError, match=r"^p0, p1, p2, p3, p4: the store"):
        Growth(points=moved([0, 1, 2, 3, 4, 5])).check(make_spec(n_points=6), "x")


def test_another_selector_under_the_same_name_is_refused():
    spec = grow(SPEC, Growth(variables=parse_variables(["skin=TMP:surface"])))
    Growth(variables=parse_variables(["skin=TMP:surface"])).check(spec, "x")
    text = "^x has skin as TMP:surface, not DPT:surface: give the new one another name, NAME=DPT:surface$"
    with pytest.raises(ConfigError, match=text):
        Growth(variables=parse_variables([NEW[0].name, "skin=DPT:surface"])).check(spec, "x")


def test_each_addition_of_points_is_a_cohort_of_all_that_there_are_then():
    spec = grow(grow(SPEC, Growth(n_days=9)), Growth(points=make_points([6, 2, 5])))
    assert spec.growth == 2
    assert [(cohort.n_points, cohort.growth) for cohort in spec.cohorts] == [(5, 0), (7, 2)]
    assert spec.cohorts[0] == SPEC.cohorts[0]
    assert spec.cohorts[1].digest == spec.points.digest() != SPEC.cohorts[0].digest
    assert spec.cells.y.tolist() == [0, 1, 2, 3, 4, 6, 5]
    assert spec.points.take(range(5)) == SPEC.points


def test_points_beyond_the_grid_are_no_growth():
    far = Points(("pole",), ("pole",), np.array([89.0]), np.array([0.0]))
    with pytest.raises(PointsError, match="are outside the grid"):
        grow(SPEC, Growth(points=far))


def test_points_can_be_added_often_but_not_more_often_than_can_be_told_apart():
    many = tuple(Cohort(5, "0" * 16, 0) for _ in range(MAX_COHORTS))
    spec = replace(SPEC, cohorts=many[:-1])
    assert len(grow(spec, Growth(points=make_points([5]))).cohorts) == MAX_COHORTS
    full = replace(SPEC, cohorts=many)
    with pytest.raises(PlanError, match=r"added 63 times .* make another store"):
        Growth(points=make_points([5])).step_from(full)
    assert Growth(n_days=9, points=make_points([2])).step_from(full) == {"n_days": 9}


def test_the_identity_changes_with_all_that_fixes_a_store_and_not_with_what_may_be_added():
    base = identity(SELECTION)
    changes = {
        "product": replace(SELECTION, product="prs"),
        "domain": replace(SELECTION, domain="alaska"),
        "method": replace(SELECTION, method="bilinear"),
        "cycles": replace(SELECTION, cycles=(0,)),
        "lead_minutes": replace(SELECTION, lead_minutes=(0,)),
    }
    for key, selection in changes.items():
        found = identity(selection)
        assert {name for name in base if found[name] != base[name]} == {key}
    assert identity(replace(SELECTION, variables=NEW)) == base
    assert json.loads(json.dumps(base)) == base


# --- growth in any order ---

GROWTHS = st.builds(
    Growth,
    st.one_of(st.none(), st.integers(0, 5)),
    st.integers(0, 800),
    st.lists(st.sampled_from([*SELECTION.variables, *NEW]), unique=True, max_size=3).map(tuple),
    st.one_of(st.none(), st.lists(st.integers(0, 12), unique=True, min_size=1, max_size=5).map(make_points)),
)
STARTS = st.builds(make_spec, st.integers(1, 5), st.integers(1, 6), asked_from=st.integers(0, 5)).map(as_created)


def decoded(documents: dict[str, bytes], root: bytes, name: str) -> np.ndarray:
    """An array of the store that a root document speaks of, out of the objects that are there."""
    described = json.loads(root)["consolidated_metadata"]["metadata"][name]
    make = default_buffer_prototype().buffer.from_bytes
    objects = {
        key.removeprefix(f"{name}/"): make(data) for key, data in documents.items() if key.startswith(f"{name}/")
    }
    objects["zarr.json"] = make(json.dumps(described).encode())
    return np.asarray(zarr.open_array(MemoryStore(objects), mode="r")[...])


@settings(max_examples=12, deadline=None)
@given(STARTS, st.lists(GROWTHS, min_size=1, max_size=4))
def test_readers_of_any_earlier_root_document_see_exactly_what_they_saw(start, growths):
    specs = [start]
    for growth in growths:
        specs.append(grow(specs[-1], growth))
    now = build_template(specs[-1])
    for spec in specs[:-1]:
        before = build_template(spec)
        assert set(before) <= set(now), "nothing that was written is taken away"
        for name in json.loads(before[ROOT_KEY])["consolidated_metadata"]["metadata"]:
            earlier, later = json.loads(before[f"{name}/zarr.json"]), json.loads(now[f"{name}/zarr.json"])
            assert [a <= b for a, b in zip(earlier.pop("shape"), later.pop("shape"), strict=True)].count(False) == 0
            assert earlier == later, "chunks, codecs and attributes stay"
            if name in (*NAMES, *(variable.name for variable in NEW)):
                assert not [key for key in now if key.startswith(f"{name}/c")]
                continue
            seen, sees = (decoded(objects, before[ROOT_KEY], name) for objects in (before, now))
            assert sees.tolist() == seen.tolist(), name
            whole = decoded(now, now[ROOT_KEY], name)
            assert whole[tuple(map(slice, seen.shape))].tolist() == seen.tolist(), "the beginning of what is there now"


@settings(max_examples=40, deadline=None)
@given(STARTS, st.lists(GROWTHS, max_size=4), st.data())
def test_growth_asked_for_in_any_order_leads_to_a_store_that_has_it_all(start, growths, data):
    one = other = start
    for growth in growths:
        one = grow(one, growth)
    for growth in data.draw(st.permutations(growths)):
        other = grow(other, growth)
    for spec in (one, other):
        assert all(not growth.step_from(spec) for growth in growths), "it has what was asked for"
        assert (spec.n_days, spec.asked_from) == (one.n_days, one.asked_from)
        assert set(spec.selection.variables) == set(one.selection.variables)
        assert set(spec.points.point_id) == set(one.points.point_id)
        assert spec.growth <= len(growths)
        assert spec.cohort_sizes[-1] == len(spec.points)
        assert list(spec.cohort_sizes) == sorted(set(spec.cohort_sizes))
        assert same(spec_of(json.loads(json.dumps(settings_of(spec))), spec.points), spec)


@settings(max_examples=40, deadline=None)
@given(STARTS, st.lists(GROWTHS, max_size=4))
def test_the_steps_alone_lead_to_the_store(start, growths):
    steps, spec = [through_json(first_step(start))], start
    for growth in growths:
        if step := growth.step_from(spec):
            steps.append(through_json(step))
            spec = apply_growth(spec, steps[-1], len(steps) - 1)
    again = None
    for number, step in enumerate(steps):
        again = apply_growth(again, step, number)
    assert again is not None
    assert same(again, spec)
    brought = [cohort.growth for cohort in spec.cohorts]
    assert points_of([steps[number] for number in brought]) == spec.points


def test_an_axis_is_found_again_in_settings():
    settings_ = {"first_day": "2014-07-30", "cycles": [0, 6]}
    assert axis_of(settings_) == Axis(datetime(2014, 7, 30), (0, 6))
    assert axis_of(settings_of(SPEC)) == AXIS


def test_a_surface_that_was_unknown_is_found_again_in_what_the_store_says_of_itself():
    nan = np.nan

    def surface(*values: float) -> CellSurface:
        return CellSurface(np.array(values, np.float32), np.array(values, np.float32) * 0)

    steps = [first_step(replace(make_spec(n_points=2), surface=surface(nan, nan)))]
    spec = apply_growth(None, steps[0], 0)
    for growth in (
        Growth(points=make_points([2])),  # its surface could not be read either
        Growth(n_days=40, known=surface(1, nan)),
        Growth(points=make_points([3]), surface=surface(4), known=surface(9, 2, 3)),  # in one step
        Growth(n_days=44),
    ):
        steps.append(json.loads(encode_step(growth.step_from(spec))))
        spec = apply_growth(spec, steps[-1], len(steps) - 1)
        again = json.loads(json.dumps(settings_of(spec)))
        numbers = point_steps(again)
        read = surface_of([steps[number] for number in numbers])
        assert np.array_equal(read.elevation, spec.surface.elevation, equal_nan=True)
        assert np.array_equal(read.is_land, spec.surface.is_land, equal_nan=True)
        assert points_of([steps[number] for number in numbers]) == spec.points
        assert settings_of(spec_of(again, spec.points, read)) == settings_of(spec)
    assert numbers == [0, 1, 3]
    assert spec.surface.elevation.tolist() == [1, 2, 3, 4]
    assert Growth(known=surface(7, 7, 7)).step_from(spec) == {}
    assert "surface_step" not in settings_of(as_created(make_spec()))
