"""A store opened for reading: what was asked for, points by their names, and nothing plain xarray would not see."""

from __future__ import annotations

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
import zarr
from support.specs import NAMES, SPAN, all_pieces, attempt, make_points, make_spec, outcome, values_at

import hrrr_dask
from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.ledger.rows import encode_entry
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED
from hrrr_dask.read.opening import load_existing, open_dataset
from hrrr_dask.store.published import publish_status
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store


@pytest.fixture
def store(tmp_path) -> Store:
    """Its second partition was read; the first day was not asked for."""
    made = Store(str(tmp_path / "s.zarr"), {}, make_spec(asked_from=1)).make_or_grow(Growth())
    made.merge(1, all_pieces(1))
    who = attempt(1)
    outcomes = [outcome(SPAN + row, lead, {}, NAMES if lead else NAMES[:1]) for row in range(SPAN) for lead in (0, 1)]
    made.ledger.write(who, encode_entry(outcomes, who))
    publish_status(made, 1)
    return made


def test_readers_see_the_values_where_they_belong(store):
    dataset = open_dataset(store.url)
    assert dict(dataset.sizes) == {"init_time": 6, "lead_time": 2, "point": 5}
    assert dataset.init_time.to_numpy()[0] == np.datetime64("2024-01-02T00", "ns")
    for k in range(6):
        there = k >= 2
        expected = values_at(NAMES[0], k + 2, 1, np.arange(5)) if there else np.full(5, np.nan)
        np.testing.assert_array_equal(dataset.temperature_2m[k, 1], expected)
    assert (dataset.status[2:] == COMPLETE).all()
    assert (dataset.status[:2] == NOT_INGESTED).all()
    assert dataset.available_at.dtype.kind == "M"
    assert (dataset.available_at[2:] == np.datetime64("2024-01-01T01:02:03", "ns")).all()
    assert np.isnat(dataset.available_at[:2]).all()


def test_only_what_was_asked_for_is_shown_and_the_rest_when_it_is_asked_for(store):
    assert open_dataset(store.url).sizes["init_time"] == 6
    grown = store.grow(Growth(n_days=400))
    assert open_dataset(store.url).sizes["init_time"] == 798
    grown.grow(Growth(asked_from=0))
    assert open_dataset(store.url).sizes["init_time"] == 800


def test_plain_xarray_and_zarr_see_the_same_values_without_a_warning(store):
    dataset = open_dataset(store.url).load()
    with xr.open_zarr(store.url) as plain:
        assert plain.temperature_2m.shape == (8, 2, 5)
        xr.testing.assert_identical(plain.isel(init_time=slice(2, None)).load(), dataset.drop_indexes("point_id"))
    group = zarr.open_group(store.url, mode="r")
    np.testing.assert_array_equal(group["temperature_2m"][2:], dataset.temperature_2m)
    assert ".hrrr" not in list(group.keys())


def test_points_are_selected_by_their_id(store):
    dataset = open_dataset(store.url)
    np.testing.assert_array_equal(dataset.temperature_2m.sel(point_id="p3"), dataset.temperature_2m[..., 3])
    some = dataset.sel(point_id=["p4", "p0"])
    assert some.point_id.to_numpy().tolist() == ["p4", "p0"]
    with pytest.raises(KeyError):
        dataset.sel(point_id="nowhere")


@pytest.mark.parametrize("chunks", [None, {}, "auto"])
def test_what_names_a_point_comes_first_so_that_plots_have_it_in_their_titles(store, chunks):
    dataset = open_dataset(store.url, chunks=chunks)
    one = dataset.hrrr.best_estimate().temperature_2m.isel(point=0)
    with mpl.rc_context({"backend": "Agg"}):
        (line,) = one.plot()
        assert line.axes.get_title().startswith(f"point_id = {one.point_id.item()}, name = ")
        plt.close(line.figure)
    along = [name for name, coordinate in dataset.coords.items() if coordinate.dims == ("point",)]
    assert along[:4] == ["point_id", "name", "latitude", "longitude"]
    assert along[4:] == sorted(along[4:])


def test_points_that_were_added_are_selected_too(store):
    store.grow(Growth(points=make_points([9])))
    late = open_dataset(store.url).sel(point_id="p9")
    assert np.isnan(late.temperature_2m).all()
    assert str(late.name.item()) == "place 9, Süd"


def test_reading_through_dask_gives_the_same(store):
    lazy = open_dataset(store.url, chunks={})
    assert lazy.temperature_2m.chunks is not None
    assert open_dataset(store.url).temperature_2m.chunks is None
    xr.testing.assert_identical(lazy.load(), open_dataset(store.url).load())


def test_a_dataset_has_the_accessor(store):
    assert open_dataset(store.url).hrrr is not None
    assert hrrr_dask.open_dataset is open_dataset


def test_opening_what_is_no_store_says_so(tmp_path, store):
    for look in (open_dataset, lambda url: load_existing(url, {})):
        with pytest.raises(StoreMismatchError, match="holds no store: check the URL, or make one with hrrr-dask backf"):
            look(str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
    assert load_existing(store.url, {}).n_days == 4
