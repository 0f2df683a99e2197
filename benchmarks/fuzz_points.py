"""Corrupt points files: accepted coordinates must be those in the text.

The oracle parses the text without the package: lines and quotes by hand, decimal numbers by its own pattern.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from benchmarks.fuzz_messages import WrongError
from benchmarks.mutations import NUMBERS, TEXTS, spoil_text
from hrrr_dask.errors import PointsError
from hrrr_dask.grid.points import Points, read_points

__all__ = ["PointsCases", "coordinates"]

DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
NAMES: Final = {"lat": "lat", "latitude": "lat", "lon": "lon", "lng": "lon", "long": "lon", "longitude": "lon"}


class PointsCases:
    """Corrupt and random points files."""

    limit_bytes = 1 << 29

    def __init__(self, _shared: Path, work: Path) -> None:
        self._path = work / "points.csv"

    def case(self, chance: random.Random) -> str:
        """Make a file, corrupt it, read it, and compare; returns the result."""
        text = _made(chance)
        data = spoil_text(text, _made(chance), chance) if chance.random() < 0.9 else text.encode(errors="replace")
        self._path.write_bytes(data)
        try:
            points = read_points(self._path)
        except PointsError:
            return "refused"
        _compare(points, list(coordinates(data.decode("utf-8-sig"))))
        return "accepted"


def _compare(points: Points, expected: list[tuple[float, float]]) -> None:
    found = list(zip(points.latitude.tolist(), points.longitude.tolist(), strict=True))
    if found != expected:
        raise WrongError(f"the text says {expected[:5]} …, {len(expected)}, accepted were {found[:5]} …, {len(found)}")


def coordinates(text: str) -> Iterator[tuple[float, float]]:
    """Latitude and longitude of each point of a text; longitudes as they are stored."""
    if text.lstrip()[:1] in ("{", "["):
        document = json.loads(text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=_once)
        places = list(_places(document))
    else:
        places = list(_columns([line for line in _lines(text) if line and line[0] != "#"]))
    for latitude, longitude in places:
        degrees = _number(longitude)
        yield _number(latitude), degrees - 360 if degrees > 180 else degrees


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]


def _columns(lines: list[str]) -> Iterator[tuple[str, str]]:
    first = [field.strip() for field in _fields(lines[0])]
    at = {"lat": 0, "lon": 1}
    if any(_is_number(field) for field in [each.strip() for each in _fields(lines[0].split("#")[0])]):
        lines = [line.split("#")[0] for line in lines]
    else:
        at = {NAMES[name.lower()]: k for k, name in enumerate(first) if name.lower() in NAMES}
        lines = lines[1:]
    for line in lines:
        fields = _fields(line)
        yield fields[at["lat"]], fields[at["lon"]]


def _fields(line: str) -> list[str]:
    """Between commas that are in no quotes; a field is quoted when its first letter is a quote."""
    fields: list[str] = []
    rest = line
    while True:
        rest = rest.lstrip(" ")
        if rest.startswith('"'):
            match = re.match(r'"((?:[^"]|"")*)"', rest)
            if match is None:
                return [*fields, rest]
            fields.append(match[1].replace('""', '"'))
            rest = rest[match.end() :]
            if not rest:
                return fields
            rest = rest.partition(",")[2]
        else:
            field, comma, rest = rest.partition(",")
            fields.append(field)
            if not comma:
                return fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise WrongError(f"an object was accepted that has a member twice: {[name for name, _ in pairs]}")
    return dict(pairs)


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    match document["type"]:
        case "FeatureCollection":
            for feature in document["features"]:
                yield from _places(feature["geometry"])
        case "Feature":
            yield from _places(document["geometry"])
        case "Point":
            yield document["coordinates"][1], document["coordinates"][0]
        case "MultiPoint":
            yield from ((place[1], place[0]) for place in document["coordinates"])
        case other:
            raise WrongError(f"{other} was taken for points")


def _is_number(field: str) -> bool:
    return DECIMAL.fullmatch(field) is not None or field.lower().lstrip("+-") in ("nan", "inf", "infinity")


def _number(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    if not isinstance(value, str) or DECIMAL.fullmatch(value.strip()) is None:
        raise WrongError(f"{value!r} was taken for a number")
    return float(Decimal(value.strip()))


def _made(chance: random.Random) -> str:
    """A good file, or nearly: few of the odd spellings are in many of them."""
    rows = [
        (_degrees(chance, 90), _degrees(chance, 360), f"p{k}", _name(chance)) for k in range(chance.randrange(1, 9))
    ]
    match chance.randrange(5):
        case 0:
            return "".join(f"{lat},{lon}\n" for lat, lon, _, _ in rows)
        case 1:
            return "point_id,name,latitude,longitude\n" + "".join(
                f'{identity},"{name}",{lat},{lon}\n' for lat, lon, identity, name in rows
            )
        case 2:
            return "Lon , LAT\n" + "".join(f"{lon} , {lat}\n" for lat, lon, _, _ in rows)
        case 3:
            return '{"type": "MultiPoint", "coordinates": [' + ", ".join(f"[{r[1]}, {r[0]}]" for r in rows) + "]}"
    features = ",\n".join(
        f'{{"type": "Feature", "properties": {{"name": {json.dumps(name)}, "id": "{identity}"}},\n'
        f' "geometry": {{"type": "Point", "coordinates": [{lon}, {lat}]}}}}'
        for lat, lon, identity, name in rows
    )
    return f'{{"type": "FeatureCollection", "features": [\n{features}]}}'


def _degrees(chance: random.Random, most: float) -> str:
    if chance.random() < 0.02:
        return chance.choice(NUMBERS)
    return str(round(chance.uniform(-min(most, 180), most), chance.randrange(9)))


def _name(chance: random.Random) -> str:
    return chance.choice(TEXTS)[:50].replace("\n", " ") if chance.random() < 0.1 else "Boise airport"
