"""Python's file interface for objects that are read and written piece by piece."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from obstore import ReadableFile, WritableFile

__all__ = ["ObjectReader", "ObjectWriter"]


class ObjectReader(io.RawIOBase):
    """Python's file interface for obstore's readers."""

    def __init__(self, file: ReadableFile, explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._explained = explained

    def readable(self) -> bool:
        """Whether it can be read: yes."""
        return True

    def seekable(self) -> bool:
        """Whether it has a position: yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set the position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position [B]."""
        return self._file.tell()

    def readinto(self, into: Any) -> int:
        """Read the next bytes into a buffer."""
        with self._explained():
            data = self._file.read(len(into))
        into[: len(data)] = bytes(data)
        return len(data)


class ObjectWriter(io.RawIOBase):
    """Python's file interface for obstore's writers."""

    def __init__(self, file: WritableFile, explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._file: WritableFile | None = file
        self._explained = explained
        self._size = 0

    def finish(self) -> None:
        """Make the object exist."""
        with self._explained():
            if self._file is not None:
                self._file.close()

    def abandon(self) -> None:
        """Drop obstore's writer, which removes what it has written, even while a traceback refers to this object.

        What is written later is dropped, too, such as the footer of a Parquet writer that is deleted.
        """
        self._file = None

    def writable(self) -> bool:
        """Whether it can be written: yes."""
        return True

    def tell(self) -> int:
        """Return the position [B]."""
        return self._size

    def write(self, data: Any) -> int:
        """Write the next bytes."""
        with self._explained():
            if self._file is not None:
                self._file.write(bytes(data))
        self._size += len(data)
        return len(data)
