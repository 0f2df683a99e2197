"""Write ``docs/settings.md``: every setting with its default, taken from ``hrrr_dask.config.DEFAULTS``.

What a setting means is taken from the options of the command line and from the classes that hold a section.

Usage: python docs/settings.py
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from hrrr_dask.archive.policy import FetchSettings
from hrrr_dask.cli.commands import cli
from hrrr_dask.clusters.spec import KubernetesSpec
from hrrr_dask.config import DEFAULTS

PAGE = Path(__file__).with_suffix(".md")

SECTIONS = {"fetch": FetchSettings, "kubernetes": KubernetesSpec}
"""Section to the class whose attributes say what its settings mean."""

OTHERS = {
    "fetch.merge-gap-kb": "Ranges of one file that are closer than this are read with one request [KiB].",
    "fetch.prefix-reads": "Read a message only up to the last wanted cell.",
    "source-options": "Options of the sources, such as `endpoint` and `region`.",
    "store-options": "Options of the store's URL, such as `endpoint` and `region`.",
}
"""Settings whose meaning is said nowhere else in a sentence."""

HEAD = """\
# Settings

Every setting, with its default. `python docs/settings.py` writes this page from `hrrr_dask/config/settings.py`; a test
checks that it is up to date. [Options](options.md) shows the values that the command line takes.

A setting is given, from the strongest to the weakest, as

- an option of a command, `--lead-hours 0-36`, or an argument of a function, `lead_hours="0-36"`;
- a variable of the environment, `DASK_HRRR__LEAD_HOURS=0-36`; a section's name is one more part,
  `DASK_HRRR__FETCH__ATTEMPTS=8`;
- a YAML file of [Dask's configuration](https://docs.dask.org/en/stable/configuration.html), such as
  `~/.config/dask/hrrr.yaml`:

```yaml
hrrr:
  lead-hours: 0-36
  fetch:
    attempts: 8
```

An unknown setting is an error. Credentials are never settings: they come from the environment or the cloud's own
configuration.
"""


def attribute_docs(of: type) -> dict[str, str]:
    """What the strings below the attributes of a class say."""
    body = ast.parse(inspect.getsource(of)).body[0].body  # type: ignore[attr-defined]
    said = {}
    for field, text in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            said[field.target.id] = " ".join(str(text.value.value).split())  # type: ignore[union-attr]
    return said


def option_docs() -> dict[str, str]:
    """What the options of all commands say, by the name of the setting."""
    said: dict[str, str] = {}
    for command in cli.commands.values():
        for option in command.params:
            if help_text := getattr(option, "help", None):
                said.setdefault(str(option.name).replace("_", "-"), re.sub(r"\s*\[default: .*?\]", "", help_text))
    return said


def meanings() -> dict[str, str]:
    """What each setting means, by its full name."""
    said = option_docs() | OTHERS
    for section, of in SECTIONS.items():
        said |= {f"{section}.{name.replace('_', '-')}": text for name, text in attribute_docs(of).items()}
    return {name: plain(text) for name, text in said.items()}


def plain(text: str) -> str:
    """Markdown of a docstring's line, as a cell of a table."""
    text = re.sub(r":\w+:`([^`]+)`", r"`\1`", text).replace("``", "`").replace("SMALL_BYTES", "100 kB")
    return text.replace("`100 kB`", "100 kB").replace("|", r"\|").strip()


def rows(settings: Mapping[str, Any], said: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    """Lines of a table, without the sections among the settings."""
    yield "\n| setting | default | meaning |\n| --- | --- | --- |\n"
    for name, default in settings.items():
        if name not in SECTIONS:
            shown = "true" if default is True else "false" if default is False else default
            text = "" if shown in ("", [], {}) else f"`{', '.join(shown) if isinstance(shown, list) else shown}`"
            yield f"| `{prefix}{name}` | {text} | {said[prefix + name]} |\n"


def write() -> str:
    """The page."""
    said = meanings()
    parts = [HEAD, *rows(DEFAULTS, said)]
    for section in SECTIONS:
        parts += [f"\n## {section}\n", *rows(DEFAULTS[section], said, f"{section}.")]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
