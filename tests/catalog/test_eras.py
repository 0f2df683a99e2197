"""Statements on the eras: about products, domains and versions that exist, and shown by the real files they name."""

from __future__ import annotations

from datetime import datetime

import pytest
from support import needs
from support.paths import ROOT, SHARED_DATA
from support.scripts import load_script

from hrrr_dask.archive.inventory import parse_inventory
from hrrr_dask.catalog.eras import ERA_SOURCES, FACTS, REAL_FILES
from hrrr_dask.catalog.products import DOMAINS, ERAS, PRODUCTS
from hrrr_dask.catalog.variables import CATALOG, DEFAULT_VARIABLES, default_variables
from hrrr_dask.grib.sections import read_header
from hrrr_dask.quality.flags import NO_DATA_VALUES

eras = load_script(ROOT / "docs" / "eras.py")

INVENTORIES = [file for file in REAL_FILES if file.part == "inventory"]
MESSAGES = [file for file in REAL_FILES if file.part != "inventory"]


def test_every_era_has_a_source():
    assert set(ERA_SOURCES) == {(domain, era.version) for domain in DOMAINS for era in ERAS[domain]}


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.text[:40])
def test_a_statement_is_about_what_exists_and_its_files_are_of_that(fact):
    assert set(fact.products) <= set(PRODUCTS)
    assert set(fact.domains) <= set(DOMAINS)
    assert set(fact.versions) <= {era.version for domain in fact.domains for era in ERAS[domain]}
    assert fact.source or fact.seen
    for file in fact.seen:
        assert file in REAL_FILES
        assert file.product in fact.products
        assert file.domain in fact.domains
        assert eras.version_at(file) in fact.versions


def test_a_statement_without_a_file_is_marked_and_so_is_what_its_files_do_not_show():
    rows = {fact.text: eras.fact_row(fact)[-1] for fact in FACTS}
    assert all(rows[fact.text] == eras.UNVERIFIED for fact in FACTS if not fact.seen)
    assert rows["A message can have a bitmap: 8 cells of `SBT123`."] == (
        "`hrrr.t00z.wrfprsf00.SBT123-bitmap.grib2` (1 message)"
    )
    assert rows["Files can be truncated."].endswith(f"<br>others {eras.UNVERIFIED}")


@pytest.mark.parametrize(("key", "value"), NO_DATA_VALUES.items())
def test_every_sentinel_that_is_flagged_is_on_the_page(key, value):
    assert any(f"`{key}` is {value:g} " in fact.text for fact in FACTS)


@pytest.mark.parametrize(
    ("product", "domain", "row"),
    [
        ("sfc", "conus", "| v1 | 2014-07-30 00 UTC to 2016-08-23 11 UTC | 15 h | 15 h | 8 of 11 |"),
        ("sfc", "conus", "| v4 | 2020-12-02 12 UTC to today | 48 h | 18 h | 11 of 11 |"),
        ("nat", "alaska", "| v3 | 2018-07-12 12 UTC to 2020-12-02 09 UTC | 36 h | 18 h | 11 of 11 |"),
        ("subh", "conus", "| v1 | 2014-07-30 00 UTC to 2016-08-23 11 UTC | 15 h | 15 h | 8 of 11 |"),
        ("subh", "alaska", "| v4 | 2020-12-02 12 UTC to today | 18 h | 18 h | 11 of 11 |"),
    ],
)
def test_a_table_has_runs_reach_and_variables_of_each_era(product, domain, row):
    assert row in "".join(eras.section(product, domain))


def test_tables_are_narrow_and_whole():
    lines = [line for line in eras.write().splitlines() if line.startswith("|")]
    widths = {line.count(" | ") + 1 for line in lines}
    assert max(widths) <= 7
    assert not [line for line in lines if line.count("|") != line.count(" | ") + 2]


@needs.real_bytes
def test_all_real_inventories_are_named():
    assert {file.path for file in INVENTORIES} == {f"idx/{path.name}" for path in (SHARED_DATA / "idx").glob("*.idx")}


@needs.real_bytes
@pytest.mark.parametrize("file", INVENTORIES, ids=lambda file: file.path)
def test_a_real_inventory_has_exactly_the_default_variables_of_its_product(file):
    records = parse_inventory((SHARED_DATA / file.path).read_text(), file.init_time)
    there = {(record.element, record.level) for record in records}
    names = [*DEFAULT_VARIABLES, *(name for name in default_variables(file.product) if name not in DEFAULT_VARIABLES)]
    selectors = {name: CATALOG[name].selector for name in names}
    found = [name for name, selector in selectors.items() if (selector.element, selector.level) in there]
    assert tuple(found) == default_variables(file.product)


@needs.real_bytes
@pytest.mark.parametrize("file", MESSAGES, ids=lambda file: file.path)
def test_a_real_message_is_of_the_run_and_lead_time_of_its_name(file):
    header = read_header((SHARED_DATA / file.path).read_bytes())
    assert header.reference_time == file.init_time > datetime(2014, 7, 30)
    assert header.window is not None
    assert 60 * (file.lead_hours - 1) < header.window.stop <= 60 * file.lead_hours
