"""What the errors of S3 and of botocore mean to people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from gotdata.errors import (
    AccessDenied,
    AuthRequired,
    GotdataError,
    NotFound,
    ResolveError,
    SourceError,
    SourceUnavailable,
    UpstreamChanged,
)
from gotdata.paths import redact, shown
from gotdata.sources.http_answer import PASSING

_SEE = "see `aws configure` and the setting s3_profile"
_BAD_KEYS = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "ExpiredToken": "the session of these keys has ended",
    "InvalidToken": "the session token is not valid",
    "TokenRefreshRequired": "the session of these keys has ended",
}
_PASSING = {"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException"}
"""Whatever their status."""
_WRONG_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_NO_KEYS = (
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)


@contextmanager
def translated(where: str, unsigned: str = "") -> Iterator[None]:
    """Turns botocore's errors of the block into ours.

    Args:
        where: the URL that is asked for, fit to be shown.
        unsigned: why the request is not signed; empty if it is.
    """
    try:
        yield
    except ClientError as error:
        raise fault(error, where, unsigned) from error
    except SSLError as error:
        raise SourceError(f"{where}: TLS fails ({redact(str(error))}); AWS_CA_BUNDLE names a CA bundle") from error
    except (ConnectionError, HTTPClientError) as error:
        raise SourceUnavailable(f"{where}: no answer ({redact(str(error))}); try again") from error
    except _NO_KEYS as error:
        raise AuthRequired(f"{where}: {redact(str(error))}; {_SEE}") from error
    except (ParamValidationError, ValueError) as error:
        raise ResolveError(f"{where} can't be asked for: {redact(str(error))}") from error
    except (BotoCoreError, ResponseParserError) as error:
        # Such as an answer that is no S3 answer.
        raise SourceError(f"{where}: no answer of S3 ({redact(str(error))}); check the `endpoint:`") from error


def status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def passing(error: ClientError) -> bool:
    """Whether the same question may be answered later."""
    return status(error) in PASSING or error.response.get("Error", {}).get("Code") in _PASSING


def fault(error: ClientError, where: str, unsigned: str) -> GotdataError:
    """The error that an answer of S3 means. One to HEAD has no body: then its status is all there is."""
    said = error.response.get("Error", {})
    code, message, number = str(said.get("Code", "")), str(said.get("Message", "")), status(error)
    if passing(error):
        return SourceUnavailable(f"{where}: S3 says {shown(code)} ({number}): try again later")
    if code in _BAD_KEYS:
        return AuthRequired(f"{where}: {_BAD_KEYS[code]}; {_SEE}")
    if code in _WRONG_REGION:
        return SourceError(f"{where}: its bucket is in another region: set `region:`")
    if code == "RequestTimeTooSkewed":
        return SourceError(f"{where}: this machine's clock and the server's differ too much: set it")
    if code == "InvalidObjectState":
        kind = shown(str(said.get("StorageClass", "Glacier")))
        return AccessDenied(f"{where} is archived ({kind}): it must be restored before it can be read")
    if code == "NoSuchBucket":
        return NotFound(f"{where}: there is no such bucket; check its name and the `endpoint:`")
    if code == "NoSuchVersion" or (code == "InvalidArgument" and "version id" in message.lower()):
        return NotFound(f"{where}: there is no such version")
    if number == 404:
        return NotFound(f"{where} is not there")
    if number == 412:
        return UpstreamChanged(f"{where} is not what was pinned any more; `gotdata lock --update` takes it up")
    if number in (401, 403):
        missing = "where listing is not allowed, S3 says the same of what does not exist"
        if unsigned:
            return AuthRequired(f"{where} was refused to a request without keys ({unsigned}); {missing}")
        return AccessDenied(f"{where}: your keys give no access (`anonymous: true` uses none); {missing}")
    return SourceError(f"{where}: S3 says {shown(code)} ({number}) {redact(message[:200])}")
