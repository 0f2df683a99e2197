"""What a release is made of: notes, workflow files, the recipe for conda, the reduction of the image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import needs
from support.paths import ROOT
from support.scripts import load_script

import hrrr_dask

PACKAGE = '"""A package."""\n\n__version__ = "1.2.0"\n'
CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-30

### Added

- Something, as `v1.1.0` had not.

## [1.1.0] - 2026-01-01

- The first one.
"""

RECIPE = ROOT / "conda" / "recipe.yaml"
CONDA_NAMES = {
    "dask": "dask-core",
    "eccodes": "python-eccodes",
    "matplotlib": "matplotlib-base",
    "prometheus-client": "prometheus_client",
}
"""conda-forge's names of distributions that have another one on PyPI; ``dask`` and ``matplotlib`` there are bundles."""


def run_release_notes(directory, tag="v1.2.0", package=PACKAGE, changelog=CHANGELOG):
    (directory / "hrrr_dask").mkdir()
    (directory / "hrrr_dask" / "__init__.py").write_text(package)
    (directory / "CHANGELOG.md").write_text(changelog)
    command = [sys.executable, ROOT / ".ci" / "release_notes", tag, directory]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("tag", ["v1.2.0", "refs/tags/v1.2.0"])
def test_the_notes_of_a_release_are_its_section_of_the_changelog(tmp_path, tag):
    run = run_release_notes(tmp_path, tag)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == "### Added\n\n- Something, as `v1.1.0` had not.\n"


def test_the_notes_of_the_oldest_release_end_before_the_links(tmp_path):
    changelog = "# Changelog\n\n## [1.2.0] - 2026-11-30\n\n- All.\n\n[1.2.0]: https://example.com\n"
    assert run_release_notes(tmp_path, changelog=changelog).stdout == "- All.\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tag": "v1.2.1"}, r"tag is v1\.2\.1, but hrrr_dask\.__version__ is 1\.2\.0"),
        ({"tag": "1.2.0"}, "tag v1.2.0, or change the version"),
        ({"package": "version = 1\n"}, r"__version__ is \(none\)"),
        (
            {"changelog": CHANGELOG.replace("## [1.2.0] - 2026-11-30\n", "")},
            r"notes under \[Unreleased\]|newest version",
        ),
        ({"changelog": CHANGELOG.replace("[1.2.0] - 2026-11-30", "[1.2.0]")}, r"expected '\[1\.2\.0\] - YYYY-MM-DD'"),
        ({"changelog": CHANGELOG.replace("2026-11-30", "2026-11-31")}, "2026-11-31"),
        ({"changelog": CHANGELOG.replace("[1.2.0]", "[1.3.0]")}, r"newest version in CHANGELOG\.md is '\[1\.3\.0\]"),
        ({"changelog": "# Changelog\n"}, r"newest version in CHANGELOG\.md is '\(none\)'"),
        ({"changelog": CHANGELOG.replace("[Unreleased]\n", "[Unreleased]\n\n- New.\n")}, r"notes under \[Unreleased\]"),
        ({"changelog": "# C\n\n## [1.2.0] - 2026-11-30\n\n## [1.1.0] - 2026-01-01\n\n- A.\n"}, "has no notes"),
    ],
)
def test_tag_package_and_changelog_that_disagree_are_refused(tmp_path, change, message):
    run = run_release_notes(tmp_path, **change)
    assert (run.returncode, run.stdout) == (1, "")
    assert re.search(message, run.stderr)
    assert "Traceback" not in run.stderr


def copy_what_names_the_version(directory):
    (directory / "hrrr_dask").mkdir()
    for name in ("hrrr_dask/__init__.py", "CHANGELOG.md"):
        shutil.copy(ROOT / name, directory / name)
    for name in ("cluster", "notebooks"):
        shutil.copytree(
            ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        )
    return {path: path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_one_command_sets_the_version_everywhere_and_a_tag_of_it_is_a_release(tmp_path):
    before = copy_what_names_the_version(tmp_path)
    command = [sys.executable, ROOT / ".ci" / "set_version", "987.6.5", tmp_path]
    changed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    after = {path: path.read_text() for path in before}
    assert sorted(changed) == sorted(str(path) for path in before if after[path] != before[path])
    old = re.compile(rf"hrrr-dask:{re.escape(hrrr_dask.__version__)}\b|newTag: {re.escape(hrrr_dask.__version__)}\b")
    named = sum(len(old.findall(text)) for text in before.values())
    assert named > 10
    assert not any(old.search(text) for text in after.values())
    assert sum(text.count("987.6.5") for text in after.values()) == named + 2, "the package and the changelog, too"
    notes = [sys.executable, ROOT / ".ci" / "release_notes", "v987.6.5", tmp_path]
    run = subprocess.run(notes, capture_output=True, text=True, check=False)
    unreleased = before[tmp_path / "CHANGELOG.md"].split("\n## ")[1].partition("\n")[2].strip()
    assert (run.stdout.strip(), bool(run.returncode)) == (unreleased, not unreleased)
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "", "again: nothing changes"


def test_a_version_with_a_v_is_refused(tmp_path):
    before = copy_what_names_the_version(tmp_path)
    command = [sys.executable, ROOT / ".ci" / "set_version", "v1.2.0", tmp_path]
    assert "without v; found v1.2.0" in subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert before == {path: path.read_text() for path in before}


def test_workflow_files_follow_githubs_schema(tmp_path):
    needs.extra("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert workflows
    subprocess.run([*command, *workflows], check=True)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(workflows[0].read_text().replace("runs-on:", "runs_on:", 1))
    assert subprocess.run([*command, wrong], capture_output=True, check=False).returncode == 1


def test_only_jobs_of_the_release_that_publish_may_write():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    writing = {
        name: {scope for scope, access in job.get("permissions", {}).items() if access == "write"}
        for name, job in workflow["jobs"].items()
    }
    assert {name: scopes for name, scopes in writing.items() if scopes} == {
        "image": {"attestations", "id-token", "packages"},
        "publish": {"id-token"},
        "release": {"attestations", "contents", "id-token"},
    }


def test_the_recipe_for_conda_has_the_dependencies_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", text).groups() for text in project["project"]["dependencies"])
    expected = {CONDA_NAMES.get(name, name): f">={bound}" for name, bound in declared.items()}
    expected["python"] = project["project"]["requires-python"]
    recipe = yaml.safe_load(RECIPE.read_text())
    run = [text.split(" ") for text in recipe["requirements"]["run"]]
    assert len(run) == len(expected)
    assert dict(run) == expected
    build = [text.replace(" ", "") for text in recipe["requirements"]["host"]]
    assert set(project["build-system"]["requires"]) <= set(build)
    [entry] = recipe["build"]["python"]["entry_points"]
    assert dict([entry.split(" = ")]) == project["project"]["scripts"]


def test_rattler_build_renders_the_recipe(monkeypatch):
    rattler_build = needs.extra("rattler_build")
    monkeypatch.setenv("HRRR_DASK_VERSION", "1.2.0")
    [variant] = rattler_build.Stage0Recipe.from_file(RECIPE).render(rattler_build.VariantConfig({}))
    assert (variant.recipe.package.name, str(variant.recipe.package.version)) == ("hrrr-dask", "1.2.0")


def test_what_the_image_leaves_out_is_deleted_and_nothing_else(tmp_path):
    slim = load_script(ROOT / "cluster" / "image" / "slim.py")
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    gone = [
        "pandas/tests/a.py",
        "a/b/c/d/tests/x/y.py",
        "pyarrow/_flight.cpython-311.so",
        "pyarrow/libarrow_flight.so.26",
    ]
    kept = [
        "pandas/testing.py",
        "numpy/testing/__init__.py",
        "pyarrow/libarrow.so.26",
        "bokeh/server/static/js/bokeh.min.js",
    ]
    for name in [*gone, *kept]:
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).touch()
    slim._delete(packages)
    assert {name for name in [*gone, *kept] if (packages / name).exists()} == set(kept)


@needs.program("readelf")
@pytest.mark.parametrize("damage", [False, True])
def test_a_library_that_strip_damages_is_left_as_it_was(tmp_path, monkeypatch, damage):
    slim = load_script(ROOT / "cluster" / "image" / "slim.py")
    source, other = sorted(
        Path(np._core.__file__).parent.glob("_multiarray_*.so"), key=lambda path: path.stat().st_size
    )[::-1]
    library = tmp_path / "packages" / "library.so"
    library.parent.mkdir()
    shutil.copy(source, library)
    written = f"cp {other}" if damage else f"cat {source} /dev/null >"  # another library has other segments
    strip = tmp_path / "bin" / "strip"
    strip.parent.mkdir()
    strip.write_text(
        f'#!/bin/sh\n# --strip-unneeded -o STRIPPED LIBRARY\n{written} "$3"\necho "$3" > {tmp_path}/calls\n'
    )
    strip.chmod(0o755)
    monkeypatch.setenv("PATH", f"{strip.parent}:{os.environ['PATH']}")
    inode = library.stat().st_ino
    slim._strip(library.parent)
    assert (tmp_path / "calls").read_text() == f"{library}.stripped\n"
    assert library.read_bytes() == source.read_bytes()
    assert (library.stat().st_ino == inode) is damage, "replaced if its segments are the same, else left alone"
    assert os.access(library, os.X_OK) == os.access(source, os.X_OK)
    assert list(library.parent.iterdir()) == [library]
