"""The examples in docstrings give what they say; every public name has some, and none is left out when they run.

They run in a directory with what they speak of: a synthetic archive, the file of its points and the store
``farms.zarr``. Dask's configuration names the archive and a cluster in this process, so that examples are as short as
what people type.
"""

from __future__ import annotations

import doctest
import inspect
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import dask
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from distributed import Client
from support import needs

import hrrr_dask
import hrrr_dask.errors
import hrrr_dask.read.accessor
import hrrr_dask.testing.group_packing
import hrrr_dask.testing.messages
from hrrr_dask import ledger
from hrrr_dask.demo import POINTS
from hrrr_dask.grid.points import Points
from hrrr_dask.planning.result import Plan
from hrrr_dask.records import GribFile
from hrrr_dask.telemetry.logs import reset_logs
from hrrr_dask.testing import delete, truncate, write_archive

ROOT = Path(hrrr_dask.__file__).parent
SOURCES = {
    ".".join(["hrrr_dask", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__"): path.read_text()
    for path in sorted(ROOT.rglob("*.py"))
}
MODULES = [name for name, source in SOURCES.items() if ">>>" in source]
STORE = re.compile(r"\bds\b|\bhrrr_dask\.\w+\(|\"archive\"|\"new\"|\.json\"|\"farms\.zarr\"")
"""What an example speaks of if it needs the directory."""

CLUSTER = {"processes": False, "protocol": "tcp", "n_workers": 1, "threads_per_worker": 4, "dashboard_address": ":0"}

EXTRAS = {
    "hrrr_dask.events.watch": ["moto"],
    "hrrr_dask.read.exports": ["netCDF4"],
    "hrrr_dask.read.skill": ["scores"],
    "hrrr_dask.report.watched": ["moto"],
    "hrrr_dask.testing.s3": ["moto"],
}
"""Module to the optional libraries that its examples need."""


def find_examples(name: str, names: dict[str, Any] | None = None) -> list[doctest.DocTest]:
    """Those that a module has the text of: methods of ``ds.hrrr`` have that of other modules, where it is run."""
    found = doctest.DocTestFinder().find(import_module(name), name, extraglobs=names)
    return [test for test in found if test.examples and test.examples[0].source.splitlines()[0] in SOURCES[name]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory that examples run in, and the configuration."""
    root = tmp_path_factory.mktemp("examples")
    init_times = [datetime(2024, 7, day, hour) for day in (1, 2) for hour in (0, 12)]
    archive = write_archive(root / "archive", init_times=init_times, lead_hours=range(0, 25, 6), decoys=False)
    unpublished, cut = GribFile(datetime(2024, 7, 1, 12), 18), GribFile(datetime(2024, 7, 2), 6)
    delete(archive, unpublished)
    truncate(archive, cut, archive.path(cut).stat().st_size // 2)
    table = pd.DataFrame(POINTS, columns=["point_id", "name", "latitude", "longitude"])
    table.assign(hub_height=[90.0, 120.0, 105.0]).to_csv(root / "points.csv", index=False)
    with Client(**CLUSTER) as client:
        settings = {
            "cluster": client.scheduler_info()["address"],
            "source": [str(root / "archive")],
            "cycles": "0,12",
            "lead-hours": "0-24/6",
        }
        with dask.config.set({f"hrrr.{name}": value for name, value in settings.items()}):
            hrrr_dask.backfill(root / "points.csv", "2024-07-01", "2024-07-02", root / "farms.zarr")
            yield root


@pytest.fixture
def directory(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, for examples that change the store, as the current directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_give_what_they_say(name, request):
    for library in EXTRAS.get(name, []):
        needs.extra(library)
    names: dict[str, Any] = {}
    examples = [example.source for test in find_examples(name) for example in test.examples]
    if STORE.search("".join(examples)):
        request.getfixturevalue("directory")
        names = {"hrrr_dask": hrrr_dask, "ds": hrrr_dask.open_dataset("farms.zarr"), "np": np, "pd": pd, "xr": xr}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    with mpl.rc_context({"backend": "agg"}):
        for test in find_examples(name, names):
            runner.run(test)  # prints what differs
    reset_logs()
    assert not runner.failures


@pytest.mark.parametrize("name", MODULES)
def test_every_example_of_a_module_is_run(name):
    found = [example for test in find_examples(name) for example in test.examples]
    assert len(found) == len(re.findall(r"^ *>>> ", SOURCES[name], re.MULTILINE)), "a docstring that doctest misses"
    assert not [example.source for example in found if example.options.get(doctest.SKIP)]


def public_names() -> Iterator[tuple[str, Any]]:
    """Every public name: those of ``docs/api.rst`` and ``docs/methods.rst``, and what plans and points are."""
    modules = (hrrr_dask, hrrr_dask.errors, hrrr_dask.testing, hrrr_dask.testing.messages)
    for module in (*modules, hrrr_dask.testing.group_packing):
        for name in module.__all__:
            yield f"{module.__name__}.{name}", getattr(module, name)
    yield "hrrr_dask.ledger.to_dataframe", ledger.to_dataframe
    for each in (hrrr_dask.read.accessor.HrrrAccessor, hrrr_dask.read.accessor.HrrrArrayAccessor, Plan, Points):
        yield f"{each.__module__}.{each.__qualname__}", each


SHOWN_TOGETHER = (hrrr_dask.testing.group_packing, hrrr_dask.testing.messages)
"""Modules for tests of engines: short functions that are used one after the other."""

CALLABLES = {name: each for name, each in public_names() if callable(each)}


def examples_of(thing: Any) -> str:
    """The lines of the examples in a docstring."""
    parsed = doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
    return "".join(example.source for example in parsed)


def members_of(cls: type) -> dict[str, Any]:
    """Public methods and properties that are this package's."""
    found = {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}
    found = {name: getattr(each, "__func__", each) for name, each in found.items()}
    own = {name: each for name, each in found.items() if inspect.isfunction(each) or isinstance(each, property)}
    return {name: each for name, each in own.items() if name not in dir(Exception)}


def test_every_public_name_has_an_example():
    """Its own; a method or property can be in that of its class, a name of two listed modules in that of the module."""
    without = []
    for name, each in CALLABLES.items():
        module = import_module(name.rpartition(".")[0])
        around = examples_of(module) if module in SHOWN_TOGETHER else ""
        own = examples_of(each)
        if not own and not re.search(rf"\b{each.__name__}\b", around):
            without.append(name)
        for member, code in members_of(each).items() if inspect.isclass(each) else ():
            siblings = "".join(map(examples_of, members_of(each).values()))
            if not examples_of(code) and not re.search(rf"\.{member}\b", own + siblings + around):
                without.append(f"{name}.{member}")
    assert not without


def test_the_examples_of_public_names_are_among_those_that_are_run():
    run = {example.source for name in MODULES for test in find_examples(name) for example in test.examples}
    for name, each in CALLABLES.items():
        for thing in (each, *members_of(each).values()) if inspect.isclass(each) else (each,):
            examples = doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
            assert not [example.source for example in examples if example.source not in run], name
