"""Imports point down: every module has a layer, and none imports from above it or in a circle.

Function-level imports count as much as those at the top, and so do those for type checkers. One module is left out:
the package's root. It imports nothing when it is imported, which a test below holds; what it names for type checkers
and gets on first use is the public interface, which lies at the top.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import hrrr_dask

ROOT = Path(hrrr_dask.__file__).parent

LAYERS = {
    0: "errors",
    1: "allocation records outcomes solar",
    2: "catalog completeness elements levels pacing selectors points point_rows locations projection limits "
    "pod_settings",
    3: "variables config grid grib packing sources storage",
    4: "answers batching blobs contention decode derive differences entries existing extract failover fetch "
    "findings folding gaps gather icechunk_blobs identity inventory join layout ledger messages netcdf "
    "opening planning prefixes probe promises quality reading reports second_route shards showing spec steps "
    "store strangers template transactions walk",
    5: "clusters costs heatmap pipeline drawing flagmap quality_page comparing",
    6: "execution flights request run standing tasks assessing verifying checksums",
    7: "api calibrate growing preload",
    8: "display demo options cli quality_tables display_verify",
}
LAYER = {module: layer for layer, modules in LAYERS.items() for module in modules.split()}

BESIDE = "testing"
"""Stands on the nouns and tables only, so that it can check the rest."""
BELOW_BESIDE = 3

ALLOWED = {
    "dask": {"clusters", "config"},
    "distributed": {"api", "clusters", "execution", "flights", "growing", "preload", "run", "tasks"},
    "zarr": {"icechunk_blobs", "opening", "shards", "template"},
    "icechunk": {"icechunk_blobs"},
    "obstore": {"answers", "blobs", "comparing", "fetch", "second_route", "storage"},
    "eccodes": {"decode", "second_route", "testing"},
    "llvmlite": {"decode"},
    "numba": {"decode"},
    "cfgrib": {"decode"},
    "click": {"cli", "options"},
    "rich": {"cli", "display", "display_verify", "quality_tables"},
    "matplotlib": {"demo", "drawing", "flagmap", "heatmap"},
    "moto": {"testing"},
    "dask_kubernetes": {"clusters"},
    "kr8s": {"clusters"},
}
"""Library to the only modules that may import it."""


def house(path: Path) -> str:
    """The module, or the subpackage that it is part of."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(source: str) -> set[str]:
    """Full names of all that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


PATHS = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
IMPORTS = {path: imported(path.read_text()) for path in PATHS}
HOUSES = {house(path) for path in PATHS}


def own(names: set[str]) -> set[str]:
    """Which of the package's modules those names are, or are in."""
    firsts = {name.split(".")[1] for name in names if name.startswith("hrrr_dask.")}
    return firsts & HOUSES


def upward(module: str, names: set[str]) -> set[str]:
    """What a module may not import."""
    if module == BESIDE:
        return {other for other in own(names) - {BESIDE} if LAYER.get(other, 99) > BELOW_BESIDE}
    return {other for other in own(names) if LAYER.get(other, 99 if other != BESIDE else 7) > LAYER[module]}


def test_every_module_has_exactly_one_layer():
    placed = [module for modules in LAYERS.values() for module in modules.split()]
    assert len(placed) == len(set(placed))
    assert set(placed) | {BESIDE} == HOUSES


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_imports_from_above(path):
    assert not upward(house(path), IMPORTS[path]), "move the shared part down, or the importer up"


def test_an_upward_import_would_be_seen_wherever_it_stands():
    source = "def f():\n    if True:\n        from hrrr_dask import run\n"
    assert upward("planning", imported(source)) == {"run"}
    assert upward(
        "planning", imported("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hrrr_dask.api\n")
    )
    assert upward("testing", imported("from hrrr_dask.planning import Axis")) == {"planning"}
    assert upward("store", imported("from hrrr_dask.testing import write_archive")) == {"testing"}
    assert not upward("run", imported("from hrrr_dask.planning import Plan\nimport hrrr_dask"))


def test_imports_make_no_circle():
    modules = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in PATHS}

    def module_of(name: str) -> str:
        """The longest module name that an imported name begins with; itself where there is none."""
        found = [module for module in modules.values() if f"{name}.".startswith(f"hrrr_dask.{module}.")]
        return max(found, key=len, default=name)

    edges = {module: {module_of(name) for name in IMPORTS[path]} for path, module in modules.items()}
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("library", sorted(ALLOWED))
def test_a_library_is_imported_only_where_it_belongs(library):
    users = {house(path) for path, names in IMPORTS.items() if any(name.split(".")[0] == library for name in names)}
    assert users == ALLOWED[library]


def test_no_private_part_of_dask_is_imported():
    names = {name for found in IMPORTS.values() for name in found if name.split(".")[0] in ("dask", "distributed")}
    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]


def run_python(code: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_importing_the_package_imports_none_of_its_modules_and_sets_up_no_logging():
    found = run_python(
        "import json, logging, sys, threading; import hrrr_dask\n"
        "print(json.dumps({'ours': [m for m in sys.modules if m.startswith('hrrr_dask.')],"
        " 'heavy': sorted({'distributed', 'dask', 'zarr', 'xarray', 'eccodes', 'numpy'} & set(sys.modules)),"
        " 'handlers': len(logging.getLogger().handlers), 'level': logging.getLogger().level,"
        " 'threads': threading.active_count()}))"
    )
    assert found == {"ours": [], "heavy": [], "handlers": 0, "level": 30, "threads": 1}


def test_importing_the_command_line_loads_no_cluster():
    found = run_python(
        "import json, sys; import hrrr_dask.cli\n"
        "print(json.dumps({'heavy': sorted({'distributed', 'dask', 'zarr', 'xarray', 'eccodes'} & set(sys.modules))}))"
    )
    assert found == {"heavy": []}


def test_planning_loads_no_decoder(tmp_path):
    (tmp_path / "p.csv").write_text("latitude,longitude\n40,-100\n")
    found = run_python(
        f"import json, sys, hrrr_dask; hrrr_dask.plan({str(tmp_path / 'p.csv')!r}, '2024-01-01', '2024-01-02')\n"
        "print(json.dumps({'heavy': sorted({'numba', 'eccodes', 'xarray'} & set(sys.modules))}))"
    )
    assert found == {"heavy": []}


def test_importing_everything_sets_up_no_logging_and_prints_nothing():
    found = run_python(
        "import json, logging, hrrr_dask\n"
        "names = [getattr(hrrr_dask, name) for name in hrrr_dask.__all__]\n"
        "print(json.dumps({'handlers': len(logging.getLogger().handlers), 'names': len(names)}))"
    )
    assert found == {"handlers": 0, "names": len(hrrr_dask.__all__)}


def test_an_unknown_attribute_of_the_package_is_named():
    assert dir(hrrr_dask) == sorted(hrrr_dask.__all__)
    with pytest.raises(AttributeError, match="'hrrr_dask' has no attribute 'forecast'"):
        _ = hrrr_dask.forecast  # type: ignore[attr-defined]


def test_no_module_has_the_name_of_something_the_package_exports():
    # `import hrrr_dask.x` sets the attribute x of the package, over whatever __getattr__ would give.
    assert not HOUSES & set(hrrr_dask.__all__)
