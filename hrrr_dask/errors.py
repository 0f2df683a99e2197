"""What can go wrong, as one small tree.

::

    HrrrDaskError
    ├── UsageError (ValueError)        the request cannot be met: exit 2
    │   ├── ConfigError                a setting is unknown or has a bad value
    │   ├── PointsError                a points file or a point is unusable
    │   ├── PlanError                  the selection names nothing the archive offers
    │   └── StoreMismatchError         the store exists and was made otherwise
    ├── ArchiveError                   one file or message of the archive: becomes a gap
    │   ├── NotPublishedError          the object is not there
    │   ├── UnreachableError           no complete answer after all tries   (may heal)
    │   ├── AccessDeniedError          the source refuses us
    │   ├── InventoryError             the inventory text cannot be trusted
    │   ├── MessageNotFoundError       no message matches the selector
    │   ├── AmbiguousMessageError      several messages match the selector
    │   ├── TruncatedError             the object or the message ends too early
    │   ├── WrongIdentityError         the message is not the one its inventory promised
    │   └── DecodeError                the packed values cannot be read
    │       └── UnsupportedPackingError    this engine does not know their packing, another one may
    ├── StoreError                     the Zarr store or its ledger: exit 1
    │   ├── StoreAccessError           no credentials, no permission, no such bucket, disk full
    │   └── StoreConflictError         another writer was there first   (may heal)
    └── RunError                       the cluster or the client failed: exit 1

Every text says what was wanted, what was found and what to do. ``code`` is stable: it is what the ledger,
``--json`` and scripts see. ``retryable`` says whether the same request may succeed later without anybody
changing anything.
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
    """Root of the tree."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class UsageError(HrrrDaskError, ValueError):
    """The request cannot be met as it was made."""

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, or its value is not one of those it takes."""

    code = "bad-setting"


class PointsError(UsageError):
    """A points file, or a point in it, cannot be used."""

    code = "bad-points"


class PlanError(UsageError):
    """The selection names something that the archive does not offer, or nothing at all."""

    code = "bad-plan"


class StoreMismatchError(UsageError):
    """The store exists and was made with other points, variables or settings, or by somebody else."""

    code = "store-mismatch"


class ArchiveError(HrrrDaskError):
    """One file or one message of the archive; the run records it as a gap and goes on."""

    code = "archive"


class NotPublishedError(ArchiveError):
    """The object is not in the archive."""

    code = "not-published"


class UnreachableError(ArchiveError):
    """The source gave no complete answer after all tries."""

    code = "unreachable"
    retryable = True


class AccessDeniedError(ArchiveError):
    """The source refuses us: 401 or 403."""

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
    """The message is not the one that was asked for."""

    code = "wrong-identity"


class DecodeError(ArchiveError):
    """The message is the right one, but its values cannot be read."""

    code = "decode-failed"


class UnsupportedPackingError(DecodeError):
    """The values are packed in a way that this engine does not know; another one may."""

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
