"""Sphinx's configuration of the site: ``sphinx-build -W -b html docs docs/_build/html`` (extra ``docs``).

The pages are those that GitHub shows, too: their links between files of the repository become links between pages here.
Nothing is downloaded, and notebooks are not executed, unless the environment says so:

- ``DOCS_INTERSPHINX`` or ``READTHEDOCS``: link names of Python, xarray and others to their documentation.
- ``DOCS_NOTEBOOKS``: execute the notebooks, so that their pages have tables and pictures.
- ``GITHUB_REPOSITORY`` (set by GitHub Actions): link files that are no pages to the repository.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import hrrr_dask

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))

project = "hrrr_dask"
author = "The hrrr_dask developers"
release = version = hrrr_dask.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
toc_object_entries_show_parents = "hide"

# Pages

myst_heading_anchors = 4
nb_execution_mode = "force" if os.environ.get("DOCS_NOTEBOOKS") else "off"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

# API

add_module_names = False
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 100
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL08", "SS01", "PR01", "PR02", "RT01"}
numpydoc_validation_exclude = {
    r"\.[A-Z_]\w*$",  # classes, whose attributes have texts of their own, and constants
    r"^hrrr_dask\.testing\.[A-Z]\w+\.",  # their methods: a sentence and types
    r"^hrrr_dask\.testing\.(messages|group_packing)\b",  # modules for tests of engines
}
intersphinx_mapping = (
    {
        "dask": ("https://docs.dask.org/en/stable", None),
        "distributed": ("https://distributed.dask.org/en/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "python": ("https://docs.python.org/3", None),
        "xarray": ("https://docs.xarray.dev/en/stable", None),
    }
    if os.environ.get("DOCS_INTERSPHINX") or os.environ.get("READTHEDOCS")
    else {}
)

# Theme

html_theme = "pydata_sphinx_theme"
html_title = "hrrr_dask"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_sidebars = {"index": []}
html_theme_options = {"footer_start": [], "footer_end": [], "navigation_with_keys": False, "show_toc_level": 2}
REPOSITORY = os.environ.get("GITHUB_REPOSITORY", "")
FILES = f"https://github.com/{REPOSITORY}/blob/main/" if REPOSITORY else ""
if REPOSITORY:
    html_theme_options["github_url"] = f"https://github.com/{REPOSITORY}"

# Links between files of the repository

COPIES = {
    "CHANGELOG.md": "generated/changelog.md",
    "CONTRIBUTING.md": "generated/contributing.md",
    "SECURITY.md": "generated/security.md",
    "benchmarks/README.md": "generated/benchmarks.md",
    "cluster/README.md": "generated/cluster.md",
    "cluster/airflow/README.md": "generated/airflow.md",
    "cluster/prefect/README.md": "generated/prefect.md",
}
"""Files outside of this folder to the pages that are made of them."""

LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^()\s#]+)(#[\w-]+)?\)")


def page_of(path: Path) -> Path | None:
    """The page that a file of the repository is here; None if it is none."""
    name = path.relative_to(ROOT).as_posix()
    if name == "README.md":
        return HERE / "index.md"
    if name in COPIES:
        return HERE / COPIES[name]
    if path.parent == ROOT / "notebooks":
        return HERE / "generated" / "notebooks" / path.name
    return path if path.is_relative_to(HERE) else None


def relink(text: str, origin: Path, page: Path) -> str:
    """Text of a file of the repository with the links of a page.

    Raises
    ------
    FileNotFoundError
        If a link leads to no file.
    """

    def link(match: re.Match[str]) -> str:
        image, label, name, anchor = match.groups()
        path = (origin.parent / name).resolve()
        if not path.exists() or not path.is_relative_to(ROOT):
            raise FileNotFoundError(f"{origin}: the link to {name} leads to no file of the repository")
        if there := page_of(path):
            return f"{image}[{label}]({os.path.relpath(there, page.parent)}{anchor or ''})"
        return f"[{label}]({FILES}{path.relative_to(ROOT).as_posix()}{anchor or ''})" if FILES else label

    return LINK.sub(link, text)


def front_page() -> str:
    """The README."""
    return relink((ROOT / "README.md").read_text(encoding="utf-8"), ROOT / "README.md", HERE / "index.md")


def write_pages() -> None:
    """Copy what lies outside of this folder into ``generated/``."""
    made = HERE / "generated"
    shutil.rmtree(made, ignore_errors=True)
    (made / "notebooks").mkdir(parents=True)
    for name, page in COPIES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        (HERE / page).write_text(relink(text, ROOT / name, HERE / page), encoding="utf-8")
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        page = made / "notebooks" / notebook.name
        page.write_text(relink(notebook.read_text(encoding="utf-8"), notebook, page), encoding="utf-8")


def relink_page(_: Any, docname: str, source: list[str]) -> None:
    """Change the links of a page of this folder, as it is read."""
    page = HERE / f"{docname}.md"
    if page.exists() and not docname.startswith("generated/"):
        text = relink(source[0], page, page).replace("<!-- README -->", front_page())
        # Sphinx warns of patterns in a list of pages that no page fits yet.
        source[0] = re.sub(r"(?m)^(\w+\*)\n", lambda line: line[0] if any(HERE.glob(line[1])) else "", text)


def full_docstring(_: Any, what: str, name: str, obj: Any, __: Any, lines: list[str]) -> None:
    """Give a method of ``ds.hrrr`` the text of the function that it calls, without the dataset."""
    target = re.search(r":func:`(?:([\w.]+)\.)?(\w+)`", "\n".join(lines))
    if what != "method" or "Accessor." not in name or target is None or "Parameters" in lines:
        return
    module, function = target.groups()
    module = module or inspect.getmodule(inspect.unwrap(obj)).__name__  # type: ignore[union-attr]
    text = inspect.getdoc(getattr(import_module(module), function)) or ""
    text = re.sub(r"\nds : .*\n(?:    .*\n)+", "\n", text)
    lines[:] = re.sub(r"Parameters\n-+\n+(?=[A-Z]\w+\n-)", "", text).splitlines()


def short_signature(_: Any, what: str, __: str, obj: Any, *___: Any) -> tuple[str, None] | None:
    """Leave out the signature of a dataclass: its attributes follow, with their texts."""
    return ("", None) if what == "class" and dataclasses.is_dataclass(obj) else None


def setup(app: Any) -> None:
    """Register what is above."""
    write_pages()
    app.connect("env-get-outdated", lambda *_: ["index"])  # the README may have changed
    app.connect("source-read", relink_page)
    app.connect("autodoc-process-docstring", full_docstring, priority=100)  # before numpydoc
    app.connect("autodoc-process-signature", short_signature, priority=100)
