"""The pages say what is so: generated ones are up to date, nothing public is left out, their commands and code work."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import click
import numpy as np
import pytest
import xarray as xr
from support import needs
from support.forecasts import forecasts
from support.paths import ROOT
from support.scripts import load_script
from support.specs import as_created, make_spec

import hrrr_dask
import hrrr_dask.read.accessor
import hrrr_dask.testing
from hrrr_dask.cli.commands import cli
from hrrr_dask.ledger.rows import SCHEMA
from hrrr_dask.store.template import build_template

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", *sorted((ROOT / "cluster").rglob("README.md"))]


@pytest.mark.parametrize("name", ["settings", "ledger", "metrics"])
def test_a_generated_page_is_that_of_the_package(name):
    written = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert written == load_script(ROOT / "docs" / f"{name}.py").write(), f"run: python docs/{name}.py"


def test_every_column_of_the_ledger_is_explained_and_no_other():
    assert list(load_script(ROOT / "docs" / "ledger.py").MEANINGS) == SCHEMA.names


def test_the_reference_has_every_public_name():
    listed = set(re.findall(r"^   ([\w.]+)$", (ROOT / "docs" / "api.rst").read_text(encoding="utf-8"), re.MULTILINE))
    public = {*hrrr_dask.__all__, *hrrr_dask.testing.__all__} - {"__version__"}
    assert listed == public | {"ledger.to_dataframe", "config.DEFAULTS", "errors"}


def test_the_page_of_the_store_format_has_every_array():
    rows = re.findall(r"^\| (`\w.*?) \| (.*?) \|", (ROOT / "docs" / "store_format.md").read_text(), re.MULTILINE)
    listed = {name: dims for names, dims in rows for name in re.findall(r"`(\w+)`", names)}
    spec = as_created(make_spec())
    arrays = {key.removesuffix("/zarr.json") for key in build_template(spec) if key.endswith("/zarr.json")}
    variables = {variable.name for variable in spec.selection.variables}
    assert set(listed) - {"temperature_2m"} == arrays - variables
    ds = forecasts().drop_vars("latitude")
    for name in set(ds.coords) & set(listed):
        assert tuple(re.findall(r"`(\w+)`", listed[name])) == ds[name].dims


def commands_of(page: Path) -> list[str]:
    """Lines of a page that start with the prompt and this package's command, continued lines as one."""
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ hrrr-dask ")]


COMMANDS = {command: page for page in PAGES for command in commands_of(page)}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_page_has_options_that_there_are(command):
    words = shlex.split(command, comments=True)[1:]
    parent = click.Context(cli, **cli.context_settings)  # a command keeps the help option of its first context
    name, found, rest = cli.resolve_command(parent, [word for word in words if word != "…"])
    found.make_context(name, rest, parent=parent)  # parses, and runs nothing


def test_pages_have_commands():
    assert {page.name for page in COMMANDS.values()} >= {"README.md", "growing.md", "checking.md", "laptop.md"}


def test_the_readme_is_short_and_has_the_two_commands_that_ci_runs():
    blocks = re.findall(r"^```bash\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert [("demo" in block, "pytest" in block) for block in blocks] == [(True, False), (False, True)]
    assert len(README.splitlines()) <= 110


def test_the_lines_of_python_in_the_readme_run(tmp_path, monkeypatch):
    needs.extra("netCDF4")
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    made = forecasts(leads=(0, 1, 24), start="2024-01-14")
    made["point_id"] = ("point", np.array(["kboi", "roscoe", "seoul"], dtype=object))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hrrr_dask, "open_dataset", lambda url: {"farms.zarr": made.set_xindex("point_id")}[url])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exec(compile(block, "README.md", "exec"), {})
    assert xr.open_dataset("kboi.nc").sizes["point"] == 1
