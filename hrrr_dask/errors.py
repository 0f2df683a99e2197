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
    """Base class of all errors.

    Examples
    --------
    >>> try:
    ...     hrrr_dask.open_dataset("nowhere.zarr")
    ... except HrrrDaskError as error:
    ...     print(error.code, error.retryable, error.exit_code)
    store-mismatch False 2
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1


class UsageError(HrrrDaskError, ValueError):
    """The request cannot be met as given.

    Examples
    --------
    >>> hrrr_dask.plan("points.csv", "2024-07-02", "2024-07-01")
    Traceback (most recent call last):
        ...
    hrrr_dask.errors.PlanError: the end 2024-07-01 is before the start 2024-07-02: swap them
    """

    code = "usage"
    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown, or its value is invalid.

    Examples
    --------
    >>> hrrr_dask.plan("points.csv", "2024-07-01", "2024-07-02", variables="temperatur_2m")
    Traceback (most recent call last):
        ...
    hrrr_dask.errors.ConfigError: variable 'temperatur_2m' is unknown: did you mean temperature_2m or ...
    """

    code = "bad-setting"


class PointsError(UsageError):
    """A points file, or a point in it, cannot be used.

    Examples
    --------
    >>> hrrr_dask.read_points("elsewhere.csv")
    Traceback (most recent call last):
        ...
    hrrr_dask.errors.PointsError: points file 'elsewhere.csv' does not exist; check its name
    """

    code = "bad-points"


class PlanError(UsageError):
    """The selection names something that the archive does not offer, or nothing at all.

    Examples
    --------
    >>> hrrr_dask.plan("points.csv", "2024-07-01", "2024-07-02", cycles="1", lead_hours="0-24")
    Traceback (most recent call last):
        ...
    hrrr_dask.errors.PlanError: the lead times 19-24 h are not reached by any of the 2 runs: ...
    """

    code = "bad-plan"


class StoreMismatchError(UsageError):
    """The store exists with other points, variables or settings, or is not a store of hrrr_dask.

    Examples
    --------
    >>> hrrr_dask.open_dataset("nowhere.zarr")
    Traceback (most recent call last):
        ...
    hrrr_dask.errors.StoreMismatchError: nowhere.zarr holds no store: check the URL, or make one with hrrr-dask backfill
    """

    code = "store-mismatch"


class ArchiveError(HrrrDaskError):
    """A problem of one file or message of the archive; recorded as a gap.

    Examples
    --------
    >>> hrrr_dask.status("farms.zarr").gaps
    {'truncated': 11, 'not-published': 11}
    """

    code = "archive"


class NotPublishedError(ArchiveError):
    """The object is not in the archive.

    Examples
    --------
    >>> hrrr_dask.status("farms.zarr").gaps[NotPublishedError.code]
    11
    """

    code = "not-published"


class UnreachableError(ArchiveError):
    """The source gave no complete response after all attempts.

    Examples
    --------
    >>> from hrrr_dask.outcomes import OUTCOMES
    >>> OUTCOMES[UnreachableError.code].meaning, UnreachableError.retryable
    ('the source gave no complete answer', True)
    """

    code = "unreachable"
    retryable = True


class AccessDeniedError(ArchiveError):
    """The source denies access: 401 or 403.

    Examples
    --------
    >>> from hrrr_dask.outcomes import OUTCOMES
    >>> OUTCOMES[AccessDeniedError.code].meaning
    'the source refused'
    """

    code = "access-denied"


class InventoryError(ArchiveError):
    """The inventory text is empty, malformed, too large, or of another run.

    Examples
    --------
    >>> from datetime import datetime
    >>> from hrrr_dask.archive.inventory import parse_inventory
    >>> parse_inventory("no inventory", datetime(2024, 7, 1))
    Traceback (most recent call last):
        ...
    hrrr_dask.errors.InventoryError: wanted n:offset:d=YYYYMMDDHH:ELEMENT:LEVEL:WINDOW: in line 1 ...
    """

    code = "bad-inventory"


class MessageNotFoundError(ArchiveError):
    """No message of the file matches the selector.

    Examples
    --------
    >>> from hrrr_dask.outcomes import OUTCOMES
    >>> OUTCOMES[MessageNotFoundError.code].meaning
    'the file has no such message'
    """

    code = "message-not-found"


class AmbiguousMessageError(ArchiveError):
    """Several messages of the file match the selector.

    Examples
    --------
    >>> from hrrr_dask.outcomes import OUTCOMES
    >>> OUTCOMES[AmbiguousMessageError.code].meaning
    'the file has several such messages'
    """

    code = "ambiguous-message"


class TruncatedError(ArchiveError):
    """The object ends before the message does, or the message before its ``7777``.

    Examples
    --------
    >>> hrrr_dask.status("farms.zarr").gaps[TruncatedError.code]
    11
    """

    code = "truncated"


class WrongIdentityError(ArchiveError):
    """The message is not the requested one.

    Examples
    --------
    >>> from hrrr_dask.outcomes import OUTCOMES
    >>> OUTCOMES[WrongIdentityError.code].meaning
    'the message is not what its inventory promised'
    """

    code = "wrong-identity"


class DecodeError(ArchiveError):
    """The values of the message cannot be decoded.

    Examples
    --------
    >>> from hrrr_dask.outcomes import OUTCOMES
    >>> OUTCOMES[DecodeError.code].meaning
    'the packed values cannot be read'
    """

    code = "decode-failed"


class UnsupportedPackingError(DecodeError):
    """The values have a packing that this engine does not support; another engine may.

    Examples
    --------
    >>> UnsupportedPackingError.code, issubclass(UnsupportedPackingError, DecodeError)
    ('unsupported-packing', True)
    """

    code = "unsupported-packing"


class StoreError(HrrrDaskError):
    """The Zarr store or its ledger cannot be read or written.

    Examples
    --------
    >>> StoreError.code, StoreError.exit_code
    ('store', 1)
    """

    code = "store"


class StoreAccessError(StoreError):
    """No credentials, no permission, no such bucket or directory, or no space left.

    Examples
    --------
    >>> hrrr_dask.backfill("points.csv", "2024-07-01", "2024-07-01", "points.csv/new.zarr")
    Traceback (most recent call last):
        ...
    hrrr_dask.errors.StoreAccessError: directory ... cannot be opened: Not a directory; check the path...
    """

    code = "store-access"


class StoreConflictError(StoreError):
    """Another writer changed the same object first.

    Examples
    --------
    >>> StoreConflictError.code, StoreConflictError.retryable
    ('store-conflict', True)
    """

    code = "store-conflict"
    retryable = True


class RunError(HrrrDaskError):
    """The cluster or the client failed; what was committed stays.

    Examples
    --------
    >>> RunError.code, RunError.exit_code
    ('run', 1)
    """

    code = "run"


class SourceDownError(RunError):
    """No source of the archive responds; the files are not recorded as gaps.

    Examples
    --------
    >>> SourceDownError.code, issubclass(SourceDownError, RunError)
    ('source-down', True)
    """

    code = "source-down"
