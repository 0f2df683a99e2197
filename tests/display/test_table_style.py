"""Tables as HTML look as they should beside the styles of notebooks."""

from __future__ import annotations

import re

from hrrr_dask.display.tables import STYLE


def test_the_style_is_more_specific_than_that_of_notebooks():
    """JupyterLab aligns cells to the right by ``.jp-RenderedHTMLCommon:not(.jp-RenderedMarkdown) td``: two classes."""
    rules = re.findall(r"([^{}>]+)\{", STYLE.removeprefix("<style>"))
    selectors = [selector for rule in rules for selector in rule.split(",") if " table" in selector]
    assert len(selectors) > 4
    assert not [selector for selector in selectors if selector.count(".hrrr-dask") < 2]
