"""The floors of the package: each package imports only what lies below it, and no imports form a circle.

Imports inside functions and those for type checkers count as much as those at the top of a module. Only the root
``hrrr_dask/__init__.py`` is left out: it imports nothing until one of its names is used.
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

FLOORS = (
    "errors malloc outcomes records",
    "catalog clusters display objects",
    "config grid telemetry",
    "dashboard grib planning quality",
    "decode ledger testing",
    "archive report",
    "store",
    "job read",
    "api audit preload tables",
    "demo events",
    "cli",
)
"""From the ground up; packages of one floor do not import each other."""

FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages.split()}

MOST_MODULES_AT_THE_TOP = 8
MOST_FILES_IN_A_PACKAGE = 14

ALLOWED = {
    "dask": {"clusters", "config"},
    "distributed": {"api", "clusters", "dashboard", "events", "job", "preload", "tables"},
    "botocore": {"events", "objects", "tables", "testing"},
    "zarr": {"objects", "read", "store"},
    "icechunk": {"objects"},
    "pyiceberg": {"tables"},
    "prometheus_client": {"telemetry"},
    "obstore": {"archive", "audit", "objects"},
    "structlog": {"telemetry"},
    "eccodes": {"audit", "decode", "testing"},
    "llvmlite": {"decode"},
    "numba": {"decode"},
    "cfgrib": {"decode"},
    "apprise": {"telemetry"},
    "sentry_sdk": {"telemetry"},
    "click": {"cli"},
    "IPython": {"display"},
    "rich": {"cli", "display"},
    "matplotlib": {"demo", "read", "report"},
    "pvlib": {"read"},
    "scores": {"read"},
    "moto": {"testing"},
    "duckdb": {"tables"},
    "dask_kubernetes": {"clusters"},
    "kr8s": {"clusters"},
}
"""Library to the only packages that may import it."""


def package_of(path: Path) -> str:
    """The package that a file is in, or the module at the top that it is."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def module_name(path: Path) -> str:
    """As it is imported, below ``hrrr_dask``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


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
MODULES = {module_name(path): path for path in PATHS}
PACKAGES = {package_of(path) for path in PATHS}


def own(name: str) -> str:
    """The module of this package that an imported name is, or is in; empty for other libraries."""
    name = name.removeprefix("hrrr_dask.") if name.startswith("hrrr_dask.") else ""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def upward(package: str, names: set[str]) -> set[str]:
    """Packages among the imports that do not lie below."""
    others = {own(name).partition(".")[0] for name in names} - {"", package}
    return {other for other in others if FLOOR[other] >= FLOOR[package]}


def exported(package: str) -> set[str]:
    """What the ``__all__`` of a package names."""
    for node in ast.parse((ROOT / package / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and [target.id for target in node.targets] == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def test_every_package_has_exactly_one_floor():
    assert len(FLOOR) == sum(len(packages.split()) for packages in FLOORS)
    assert set(FLOOR) == PACKAGES


def test_the_top_has_few_modules_and_no_package_many_files():
    assert len(list(ROOT.glob("*.py"))) <= MOST_MODULES_AT_THE_TOP
    for package in PACKAGES:
        assert len(list((ROOT / package).glob("*.py"))) <= MOST_FILES_IN_A_PACKAGE, package


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    assert not upward(package_of(path), IMPORTS[path]), "move the shared part down, or the importer up"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_what_a_package_exports_is_imported_from_elsewhere(path):
    for name in IMPORTS[path]:
        package, _, rest = own(name).partition(".")
        if not package or package == package_of(path) or not (ROOT / package).is_dir():
            continue
        wanted = rest.partition(".")[0] or name.rpartition(".")[2]
        assert wanted in exported(package), f"{package}.{wanted} is private to its package"


def test_an_upward_import_is_seen_wherever_it_stands():
    source = "def f():\n    if True:\n        from hrrr_dask.job import loop\n"
    assert upward("planning", imported(source)) == {"job"}
    for_checkers = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hrrr_dask.api\n"
    assert upward("planning", imported(for_checkers)) == {"api"}
    assert upward("testing", imported("from hrrr_dask.decode import Engine")) == {"decode"}
    assert not upward("job", imported("from hrrr_dask.planning.plan import Plan\nimport hrrr_dask"))


def test_imports_make_no_circle():
    edges = {name: {own(each) for each in IMPORTS[path]} - {"", name} for name, path in MODULES.items()}
    try:
        tuple(TopologicalSorter(edges).static_order())
    except CycleError as error:
        pytest.fail(f"import cycle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("package", sorted(PACKAGES - {"errors", "malloc", "outcomes", "records", "api", "preload"}))
def test_a_package_says_what_it_is_and_what_others_may_import(package):
    init = ROOT / package / "__init__.py"
    if not init.exists():
        return
    caption, _, rest = (ast.get_docstring(ast.parse(init.read_text())) or "").partition("\n")
    assert caption.endswith(".")
    assert rest.strip()
    assert exported(package)


@pytest.mark.parametrize("library", sorted(ALLOWED))
def test_a_library_is_imported_only_where_it_belongs(library):
    users = {package_of(path) for path, names in IMPORTS.items() if any(n.split(".")[0] == library for n in names)}
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
    assert not PACKAGES & set(hrrr_dask.__all__)
