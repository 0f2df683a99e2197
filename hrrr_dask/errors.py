"""The tree of errors that hrrr_dask raises, each with a stable code and an exit code.

::

    HrrrDaskError
    ├── UsageError (ValueError)        the request cannot be met: exit 2
    │   ├── ConfigError                a setting is unknown or has a bad value
    │   ├── PointsError                a points file or a point is unusable
    │   ├── PlanError                  the selection names nothing the archive offers
    │   └── StoreMismatchError         the store exists with other settings
    ├── ArchiveError                   one file or message of the archive: becomes a gap
    │   ├── NotPublishedError          the object does not exist
    │   ├── UnreachableError           no complete response after all attempts   (retryable)
    │   ├── AccessDeniedError          the source denies access
    │   ├── InventoryError             the inventory text cannot be trusted
    │   ├── MessageNotFoundError       no message matches the selector
    │   ├── AmbiguousMessageError      several messages match the selector
    │   ├── TruncatedError             the object or the message ends too early
    │   ├── WrongIdentityError         the message is not the one its inventory promised
    │   └── DecodeError                the packed values cannot be read
    │       └── UnsupportedPackingError    this engine does not support their packing
    ├── StoreError                     the Zarr store or its ledger: exit 1
    │   ├── StoreAccessError           no credentials, no permission, no such bucket, disk full
    │   └── StoreConflictError         another writer changed the object first   (retryable)
    └── RunError                       the cluster or the client failed: exit 1
        └── SourceDownError            no source of the archive responds

Every text says what was wanted, what was found and what to do. ``code`` is stable: the ledger, ``--json`` and scripts
use it. ``retryable`` says whether the same request may succeed later without a change.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AccessDeniedError",
    "AmbiguousMessageError",
    "ArchiveError",
    "ConfigError",
    "DecodeError",
    "HrrrDaskError",
    "InventoryError",
    "MessageNotFoundError",
    "NotPublishedError",
    "PlanError",
    "PointsError",
    "RunError",
    "SourceDownError",
    "StoreAccessError",
    "StoreConflictError",
    "StoreError",
    "StoreMismatchError",
    "TruncatedError",
    "UnreachableError",
    "UnsupportedPackingError",
    "UsageError",
    "WrongIdentityError",
]


class HrrrDaskError(Exception):
    """Base class of all errors."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class UsageError(HrrrDaskError, ValueError):
    """The request cannot be met as given."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, or its value is invalid."""

    code = "bad-setting"


class PointsError(UsageError):
    """A points file, or a point in it, cannot be used."""

    code = "bad-points"


class PlanError(UsageError):
    """The selection names something that the archive does not offer, or nothing at all."""

    code = "bad-plan"


class StoreMismatchError(UsageError):
    """The store exists with other points, variables or settings, or is not a store of hrrr_dask."""

    code = "store-mismatch"


class ArchiveError(HrrrDaskError):
    """A problem of one file or message of the archive; recorded as a gap."""

    code = "archive"


class NotPublishedError(ArchiveError):
    """The object is not in the archive."""

    code = "not-published"


class UnreachableError(ArchiveError):
    """The source gave no complete response after all attempts."""

    code = "unreachable"
    retryable = True


class AccessDeniedError(ArchiveError):
    """The source denies access: 401 or 403."""

    code = "access-denied"


class InventoryError(ArchiveError):
    """The inventory text is empty, malformed, too large, or of another run."""

    code = "bad-inventory"


class MessageNotFoundError(ArchiveError):
    """No message of the file matches the selector."""

    code = "message-not-found"


class AmbiguousMessageError(ArchiveError):
    """Several messages of the file match the selector."""

    code = "ambiguous-message"


class TruncatedError(ArchiveError):
    """The object ends before the message does, or the message before its ``7777``."""

    code = "truncated"


class WrongIdentityError(ArchiveError):
    """The message is not the requested one."""

    code = "wrong-identity"


class DecodeError(ArchiveError):
    """The values of the message cannot be decoded."""

    code = "decode-failed"


class UnsupportedPackingError(DecodeError):
    """The values have a packing that this engine does not support; another engine may."""

    code = "unsupported-packing"


class StoreError(HrrrDaskError):
    """The Zarr store or its ledger cannot be read or written."""

    code = "store"


class StoreAccessError(StoreError):
    """No credentials, no permission, no such bucket or directory, or no space left."""

    code = "store-access"


class StoreConflictError(StoreError):
    """Another writer changed the same object first."""

    code = "store-conflict"
    retryable = True


class RunError(HrrrDaskError):
    """The cluster or the client failed; what was committed stays."""

    code = "run"


class SourceDownError(RunError):
    """No source of the archive responds; the files are not recorded as gaps."""

    code = "source-down"
