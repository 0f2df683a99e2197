"""Fault scripts: which request for which object gets which fault; read from JSON, or drawn at random."""

from __future__ import annotations

import difflib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from hrrr_dask.errors import ConfigError
from hrrr_dask.testing.archive import SyntheticArchive
from hrrr_dask.testing.fault_modes import GRIB, IDX, MODES, check_mode, suits

__all__ = ["FOREVER", "Script", "keys_of", "random_script"]

FOREVER: Final = "..."
"""At the end of a list of modes: the mode before it applies to all further requests."""

LONGEST: Final = 100_000
"""Maximum number of modes of a key; a longer iterator is taken to be infinite."""

STATUSES: Final = ("302", "403", "404", "416", "429", "500", "503")
"""Statuses that :func:`random_script` draws."""

UNDRAWN: Final = frozenset({"ok", "replaced", "silent", "slow"})
"""Modes that :func:`random_script` does not draw: no fault, not one that heals, and those that take long."""

LASTING: Final = {
    GRIB: ("404", "403", "503", "cut", "empty", "other-run", "other-grid", "garbled"),
    IDX: ("404", "cut", "empty", "other-run", "older", "beyond", "garbled"),
}
"""Modes that are drawn as permanent faults: the file is lost, but a backfill can do without an inventory."""


@dataclass(frozen=True, slots=True)
class Script:
    """Key to the modes of its requests, in order; later requests succeed, unless the modes end with ``...``.

    Examples
    --------
    >>> script = Script({"a.grib2": ("503", "ok", "cut", "..."), "b.grib2": ("404",)})
    >>> [script.mode("a.grib2", request) for request in range(5)], script.mode("b.grib2", 1)
    (['503', 'ok', 'cut', 'cut', 'cut'], 'ok')
    >>> script.heals("a.grib2"), script.heals("b.grib2"), script.n_faults
    (False, True, 3)
    >>> script.check_keys(["a.grib2", "b.grib2"])
    """

    modes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Checked; keys have no leading slash."""

    def __post_init__(self) -> None:
        checked = {key.lstrip("/"): _checked(key.lstrip("/"), modes) for key, modes in self.modes.items()}
        object.__setattr__(self, "modes", checked)

    @classmethod
    def of(cls, script: Script | Mapping[str, Iterable[str]] | None) -> Script:
        """Convert a mapping to a script; the modes of a key may be any finite iterable.

        Raises
        ------
        ConfigError
            If a mode does not exist, or does not apply to its key.
        """
        if isinstance(script, Script):
            return script
        return cls({key: tuple(islice(modes, LONGEST + 1)) for key, modes in (script or {}).items()})

    @classmethod
    def read(cls, path: str | Path) -> Script:
        """Read a JSON file: an object of keys, each with a list of modes.

        Raises
        ------
        ConfigError
            If the file cannot be read, or is not a script.

        Examples
        --------
        >>> _ = Path("script.json").write_text(Script.of({"a.grib2": ["503", "cut"]}).as_json())
        >>> Script.read("script.json").modes["a.grib2"]
        ('503', 'cut')
        """
        try:
            found = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise ConfigError(f"the script {path} cannot be read ({error.strerror}): give a JSON file") from None
        except ValueError as error:
            raise ConfigError(f"the script {path} is not JSON ({error}): write {_FORM}") from None
        if not isinstance(found, dict) or not all(isinstance(modes, list) for modes in found.values()):
            raise ConfigError(f"the script {path} does not give each key a list of modes: write {_FORM}")
        return cls(found)

    def check_keys(self, keys: Sequence[str]) -> None:
        """Check that every key of the script is among some keys.

        Raises
        ------
        ConfigError
            If one is not; the text suggests similar keys.
        """
        for key in self.modes:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, n=2, cutoff=0.5) or keys[:2]
                raise ConfigError(
                    f"the script names {key}, which is not in the archive: write one such as {', '.join(near)}"
                )

    def as_json(self) -> str:
        """Format the script as JSON for :meth:`read`."""
        return json.dumps({key: list(modes) for key, modes in self.modes.items()}, indent=1)

    @property
    def n_faults(self) -> int:
        """Number of faulty responses; a permanent fault counts once."""
        return sum(mode not in ("ok", FOREVER) for modes in self.modes.values() for mode in modes)

    def mode(self, key: str, request: int) -> str:
        """Return the mode of a request; requests count from 0."""
        modes = self.modes.get(key, ())
        if modes and modes[-1] == FOREVER:
            return modes[min(request, len(modes) - 2)]
        return modes[request] if request < len(modes) else "ok"

    def heals(self, key: str) -> bool:
        """Whether requests for the object succeed in the end, with the original content."""
        modes = self.modes.get(key, ())
        lasting = self.mode(key, len(modes))
        return "replaced" not in modes and lasting in MODES and MODES[lasting].harmless


_FORM: Final = '{"KEY": ["503", "cut", ...], ...}, with "..." at the end of a list to repeat its last mode'


def _checked(key: str, modes: Sequence[str]) -> tuple[str, ...]:
    if len(modes) > LONGEST:
        raise ConfigError(f"the script of {key} has no end: end it with {FOREVER!r} to repeat its last mode")
    last = len(modes) - 1
    return tuple(mode if mode == FOREVER and at == last > 0 else check_mode(mode, key) for at, mode in enumerate(modes))


def keys_of(archive: SyntheticArchive | str | Path) -> tuple[str, ...]:
    """List the keys of the files and inventories of an archive in a directory, sorted.

    Raises
    ------
    ConfigError
        If there are no files.
    """
    root = archive.root if isinstance(archive, SyntheticArchive) else Path(archive)
    keys = sorted(
        path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in (GRIB, IDX) and path.is_file()
    )
    if not keys:
        raise ConfigError(f"{root} holds no {GRIB} files: give a directory laid out like the bucket")
    return tuple(keys)


def random_script(
    archive: SyntheticArchive | str | Path,
    n_faults: int,
    seed: int,
    *,
    lasting: float = 0.02,
    spare: Iterable[str] = (),
) -> Script:
    """Draw faults at random.

    Parameters
    ----------
    archive : SyntheticArchive or path
        Archive whose files and inventories get the faults.
    n_faults : int
        Number of faulty responses; a permanent fault counts once.
    seed : int
        The same seed gives the same script.
    lasting : float
        Fraction of the faults that are permanent; at most one per key.
    spare : iterable of str
        Keys without faults.

    Returns
    -------
    Script
        :meth:`Script.heals` states whether a key can be read in the end.

    Raises
    ------
    ConfigError
        If the archive has no files, or `n_faults` or `lasting` is out of range.

    Examples
    --------
    >>> script = random_script("archive", n_faults=30, seed=7, lasting=0.1)
    >>> script.n_faults, sum(not script.heals(key) for key in script.modes)
    (30, 3)
    """
    if n_faults < 0 or not 0 <= lasting <= 1:
        raise ConfigError(f"a script has 0 or more faults, a share of 0 to 1 lasting; found {n_faults} and {lasting}")
    chance = random.Random(seed)  # noqa: S311  reproducible, not for secrets
    spared = frozenset(spare)
    keys = [key for key in keys_of(archive) if key not in spared]
    n_lasting = min(round(n_faults * lasting), len(keys))
    modes: dict[str, list[str]] = {}
    for _ in range(n_faults - n_lasting):
        key = chance.choice(keys)
        modes.setdefault(key, []).append(chance.choice(_random_modes(key)))
    for key in chance.sample(keys, n_lasting):
        modes.setdefault(key, []).extend((chance.choice(LASTING[_suffix(key)]), FOREVER))
    return Script({key: tuple(modes[key]) for key in sorted(modes)})


def _suffix(key: str) -> str:
    return IDX if key.endswith(IDX) else GRIB


def _random_modes(key: str) -> list[str]:
    names = [name for name in MODES if name not in UNDRAWN and suits(name, key)]
    return [*STATUSES, *names]
