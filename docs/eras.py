"""Write ``docs/eras.md``: what is known of each product, domain and model version, taken from ``hrrr_dask.catalog``.

Usage: python docs/eras.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from hrrr_dask.catalog.eras import ERA_SOURCES, FACTS, REAL_FILES, Fact, RealFile
from hrrr_dask.catalog.products import DOMAINS, ERAS, PRODUCTS, SYNOPTIC_HOURS, Era, last_lead_hour
from hrrr_dask.catalog.variables import CATALOG, default_variables

PAGE = Path(__file__).with_suffix(".md")

UNVERIFIED = "**unverified here**"

HEAD = f"""\
# Eras

An era is the time of one version of HRRR. This page has what is known of each era, for every product and domain.
`python docs/eras.py` writes it from `hrrr_dask/catalog/`; a test checks that it is up to date.

NOAA's archive could not be read where this was written. *Seen here* names real files, or parts of them, that tests of
hrrr_dask read; {UNVERIFIED} means that there was none, and that the statement rests on its source alone. A file shows
its name, its windows and its variables. No file shows the first run of an era, or how far its runs reach: those are
from the [sources](#sources) everywhere.
"""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def format_time(time: datetime) -> str:
    """A run's init time."""
    return f"{time:%Y-%m-%d %H} UTC"


def version_at(file: RealFile) -> str:
    """The version that a real file is of."""
    return [era.version for era in ERAS[file.domain] if era.start <= file.init_time][-1]


def file_names(files: Iterable[RealFile]) -> str:
    """Names of real files, or that there are none."""
    names = [f"`{file.path.partition('/')[2].removesuffix('.idx')}` ({file.part})" for file in files]
    return "<br>".join(names) or UNVERIFIED


def runs_of(era: Era, domain: str, product: str) -> dict[int, int]:
    """Init hour to the last lead time [h], on the first whole day of an era."""
    day = datetime(era.start.year, era.start.month, era.start.day) + timedelta(days=1)
    found = {hour: last_lead_hour(day + timedelta(hours=hour), product, domain) for hour in range(24)}
    return {hour: last for hour, last in found.items() if last is not None}


def reach(runs: dict[int, int], *, synoptic: bool) -> str:
    """Last lead times of the runs of 00, 06, 12 and 18 UTC, or of all others."""
    found = {last for hour, last in runs.items() if (hour in SYNOPTIC_HOURS) == synoptic}
    return ", ".join(f"{last} h" for last in sorted(found))


def section(product: str, domain: str) -> Iterator[str]:
    """The table of one product in one domain."""
    eras = ERAS[domain]
    hours = sorted(runs_of(eras[-1], domain, product))
    every = hours[1] - hours[0]
    name = f"hrrr.YYYYMMDD/{domain}/hrrr.tHHz.wrf{product}fFF{DOMAINS[domain]}.grib2"
    step = PRODUCTS[product].step_minutes
    lead_times = (
        "one lead time in each file" if step == 60 else f"lead times every {step} min, {60 // step} in each file"
    )
    yield f"\n### {product}, {domain}\n\n"
    yield f"Files `{name}`, with `.idx`; a run every {f'{every} h' if every > 1 else 'hour'}; {lead_times}.\n\n"
    rows = []
    for k, era in enumerate(eras):
        last = format_time(eras[k + 1].start - timedelta(hours=every)) if k + 1 < len(eras) else "today"
        runs = runs_of(era, domain, product)
        wanted = default_variables(product)
        there = sum(CATALOG[variable].since <= era.start for variable in wanted)
        seen = [f for f in REAL_FILES if (f.product, f.domain, version_at(f)) == (product, domain, era.version)]
        rows.append(
            [
                era.version,
                f"{format_time(era.start)} to {last}",
                reach(runs, synoptic=True),
                reach(runs, synoptic=False),
                f"{there} of {len(wanted)}",
                file_names(seen),
            ]
        )
    head = ["era", "runs", "reach at 00, 06, 12, 18 UTC", "other runs", "default variables", "seen here"]
    yield table(head, rows)


def variables() -> Iterator[str]:
    """The table of default variables."""
    yield "\n## Default variables\n\nThe era since which each variable is expected. "
    seen = sorted({(f.product, f.domain, version_at(f)) for f in REAL_FILES if f.part == "inventory"})
    yield f"Seen here: {', '.join(f'{p} of {v} ({d})' for p, d, v in seen)}. All others: {UNVERIFIED}.\n\n"
    versions = {era.start: era.version for era in ERAS["conus"]}
    yield table(
        ["variable", "message", *PRODUCTS],
        [
            [
                f"`{name}`",
                str(CATALOG[name].selector).removesuffix(":instant"),
                *(
                    versions[CATALOG[name].since] if name in default_variables(product) else "absent"
                    for product in PRODUCTS
                ),
            ]
            for name in dict.fromkeys(name for product in PRODUCTS for name in default_variables(product))
        ],
    )


def peculiarities() -> Iterator[str]:
    """A table for each topic."""
    yield "\n## Peculiarities\n"
    for topic in dict.fromkeys(fact.topic for fact in FACTS):
        yield f"\n### {topic}\n\n"
        yield table(
            ["what", "products", "domains", "eras", "source", "seen here"],
            [fact_row(fact) for fact in FACTS if fact.topic == topic],
        )


def fact_row(fact: Fact) -> list[str]:
    """One row of the tables of peculiarities."""
    first, last = fact.versions[0], fact.versions[-1]
    meant = {
        (product, domain, era.version)
        for product in fact.products
        for domain in fact.domains
        for era in ERAS[domain]
        if era.version in fact.versions
    }
    seen = {(file.product, file.domain, version_at(file)) for file in fact.seen}
    return [
        fact.text,
        "all" if fact.products == tuple(PRODUCTS) else ", ".join(fact.products),
        "all" if fact.domains == tuple(DOMAINS) else ", ".join(fact.domains),
        first if first == last else f"{first} to {last}",
        fact.source,
        file_names(fact.seen) + (f"<br>others {UNVERIFIED}" if seen and meant - seen else ""),
    ]


def write() -> str:
    """The whole page."""
    pairs = [(product, domain) for product in PRODUCTS for domain in DOMAINS]
    sections = [part for pair in pairs for part in section(*pair)]
    sources = table(["domain", "era", "source"], [[*key, source] for key, source in ERA_SOURCES.items()])
    return "".join(
        [
            HEAD,
            "\n## Runs and files\n",
            *sections,
            *variables(),
            *peculiarities(),
            f"\n## Sources\n\nOf the first run of each era and how far its runs reach. All: {UNVERIFIED}.\n\n",
            sources,
        ]
    )


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
