"""Tokens that a provider hands to who proves in a browser who they are: OAuth 2.0 for programs without one."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from gotdata.credentials.held import Post
from gotdata.credentials.providers import Flow
from gotdata.credentials.renew import check_url, granted, without
from gotdata.errors import AccessDenied, AuthRequired, SourceError
from gotdata.paths import redact, shown

_DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL = 5.0
"""Seconds between two questions, where the provider says nothing (RFC 8628, 3.2), and more of them when asked to slow
down (3.5)."""
_LONGEST = 1800.0
"""Seconds that are waited for somebody in front of a browser, whatever the provider grants."""


@dataclass(frozen=True, slots=True)
class Talk:
    """With the person (``tell``, ``ask``), the provider (``post``) and the clock."""

    post: Post
    tell: Callable[[str], None]
    ask: Callable[[str], str]
    sleep: Callable[[float], None] = lambda seconds: time.sleep(seconds)
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class Client:
    """The program as which one is registered at a provider. A secret is given to programs of this kind too, at times,
    and is none."""

    id: str
    secret: str = ""

    @property
    def form(self) -> dict[str, str]:
        return {"client_id": self.id, **({"client_secret": self.secret} if self.secret else {})}


def run(flow: Flow, client: Client, scope: str, talk: Talk) -> Mapping[str, Any]:
    """The token endpoint's answer.

    Raises:
        AuthRequired, AccessDenied: the person, or the provider, said no, or nothing in time.
        SourceError: the provider answered something else.
    """
    return _device(flow, client, scope, talk) if flow.kind == "device" else _code(flow, client, scope, talk)


def _device(flow: Flow, client: Client, scope: str, talk: Talk) -> Mapping[str, Any]:
    """RFC 8628: the person enters a code on a page; we ask until they did."""
    begun = talk.post(flow.begin, {"client_id": client.id, "scope": scope, **flow.more})
    _check(begun, flow.begin, {})
    page, code = str(begun.get("verification_uri") or begun.get("verification_url") or ""), begun.get("user_code")
    device = begun.get("device_code")
    if not page or not isinstance(code, str) or not isinstance(device, str):
        raise SourceError(f"{redact(flow.begin)} answered no code for a device")
    check_url(page, "the page for the code")
    talk.tell(f"Open {redact(page)} in a browser and enter {shown(code)}")
    interval, end = _seconds(begun, "interval", _INTERVAL), talk.clock() + _seconds(begun, "expires_in", _LONGEST)
    while talk.clock() < end:
        talk.sleep(interval)
        form = {"grant_type": _DEVICE, "device_code": device, **client.form}
        found = talk.post(flow.token, form)
        match found.get("error"):
            case "authorization_pending":
                pass
            case "slow_down":
                interval += _INTERVAL
            case "expired_token":
                break
            case _:
                _check(found, flow.token, form)
                granted(found, flow.token)
                return found
    raise AuthRequired("the code was not entered in time; run `gotdata login` again")


def _code(flow: Flow, client: Client, scope: str, talk: Talk) -> Mapping[str, Any]:
    """RFC 7636 without a redirect to this machine: the provider's page shows a code, which is pasted."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    question = {
        "client_id": client.id,
        "response_type": "code",
        "scope": scope,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **flow.more,
    }
    talk.tell(
        f"Open this page in a browser, allow it, and paste the code that it shows:\n{flow.begin}?{urlencode(question)}"
    )
    code = talk.ask("Code")
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, **client.form}
    if "redirect_uri" in flow.more:
        form["redirect_uri"] = flow.more["redirect_uri"]
    found = talk.post(flow.token, form)
    _check(found, flow.token, form)
    granted(found, flow.token)
    return found


def _check(found: Mapping[str, Any], url: str, form: Mapping[str, str]) -> None:
    if error := found.get("error"):
        why = found.get("error_description")
        said = f": {shown(without(str(why), form))}" if why else ""
        raise AccessDenied(
            f"{redact(url)} refused ({shown(without(str(error), form))}){said}; run `gotdata login` again"
        )


def _seconds(found: Mapping[str, Any], name: str, default: float) -> float:
    value = found.get(name, default)
    # In this order, NaN is 1; and no int is too long.
    return float(min(max(1.0, value), _LONGEST)) if isinstance(value, int | float) else default
