"""Every error that gotdata raises on purpose.

    GotdataError                      exit 1
    ├── ManifestError                 exit 2   gotdata.yml, or the words of a command
    ├── ResolveError                  exit 1   a reference that no source can turn into a pin
    ├── SourceError                   exit 1   a source answered, and the answer is of no use
    │   ├── SourceUnavailable         exit 4   it did not answer; try again (transient)
    │   ├── AuthRequired              exit 5   it wants credentials
    │   ├── AccessDenied              exit 5   it knows who asks, and refuses
    │   └── NoRanges                  exit 1   it can only send the file whole
    ├── IntegrityError                exit 3   bytes, a lock or a listing are not what was pinned
    │   └── UpstreamChanged           exit 3   the origin holds another version now
    ├── StoreError                    exit 1   the content cache can't do its work
    ├── DeliveryError                 exit 1   data can't be made to appear at its target
    ├── PolicyError                   exit 5   the operator's rules say no
    └── NotFound                      exit 1   also a FileNotFoundError

A message says what happened, to which dataset, where, and what to do next. It is for people and holds no secret.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class GotdataError(Exception):
    """The root. ``transient`` says whether the same call may succeed later."""

    exit_code: ClassVar[int] = 1
    errno: int | None = errno.EIO
    transient: ClassVar[bool] = False


class ManifestError(GotdataError):
    exit_code = 2
    errno = errno.EINVAL


class ResolveError(GotdataError):
    pass


class SourceError(GotdataError):
    pass


class SourceUnavailable(SourceError):
    """``retry_after`` is what the server asked for, in seconds; None where it asked for nothing."""

    exit_code = 4
    transient = True

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AuthRequired(SourceError):
    exit_code = 5
    errno = errno.EACCES


class AccessDenied(SourceError):
    exit_code = 5
    errno = errno.EACCES


class NoRanges(SourceError):
    pass


class IntegrityError(GotdataError):
    exit_code = 3


class UpstreamChanged(IntegrityError):
    pass


class StoreError(GotdataError):
    pass


class DeliveryError(GotdataError):
    pass


class PolicyError(GotdataError):
    exit_code = 5
    errno = errno.EACCES


class NotFound(GotdataError, FileNotFoundError):
    errno = errno.ENOENT

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "not found"
