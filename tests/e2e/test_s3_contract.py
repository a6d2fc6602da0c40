"""The contract of sources, kept by s3 against real stores: with keys and without, with versions and without."""

from __future__ import annotations

import pytest

from gotdata.credentials import PUBLIC
from gotdata.sources.base import Powers
from gotdata.sources.s3 import S3
from gotdata.testing.source_contract import ODD_NAMES, SourceContract
from tests.e2e.s3_place import PrefixPlace, give_keys
from tests.e2e.servers import S3Server

WITHOUT_BACKSLASH = tuple(name for name in ODD_NAMES if "\\" not in name)
"""SeaweedFS turns a backslash into a slash."""


def s3(*, versions: bool) -> S3:
    """The source, with the powers that it has in a bucket that does or does not keep versions."""
    source = S3()
    source.powers = Powers(versions=versions)
    return source


class WithKeys(SourceContract):
    def test_its_realm_is_that_of_who_asks(self, place: PrefixPlace) -> None:  # type: ignore[override]
        place.put("f", b"1")
        pin = self.pin(place)
        realm = self.source.realm(pin, place.ctx)
        assert realm.startswith("cred:")
        with pytest.MonkeyPatch.context() as patch:
            give_keys(patch, place.server, key="another")
            assert self.source.realm(pin, place.ctx) not in (realm, PUBLIC)
            patch.delenv("AWS_ENDPOINT_URL_S3")
            assert self.source.realm(pin, place.ctx) == PUBLIC


class TestSeaweedWithKeys(WithKeys):
    source = s3(versions=False)
    odd_names = WITHOUT_BACKSLASH

    @pytest.fixture
    def place(self, weed: S3Server, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        give_keys(monkeypatch, weed)
        return PrefixPlace(weed)


class TestSeaweedWithVersions(WithKeys):
    source = s3(versions=True)
    odd_names = WITHOUT_BACKSLASH

    @pytest.fixture
    def place(self, weed: S3Server, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        give_keys(monkeypatch, weed)
        return PrefixPlace(weed, versions=True)


class TestSeaweedAnonymous(SourceContract):
    source = s3(versions=False)
    odd_names = WITHOUT_BACKSLASH

    @pytest.fixture
    def place(self, weed: S3Server) -> PrefixPlace:
        return PrefixPlace(weed, public=True)


class TestMotoWithVersions(WithKeys):
    source = s3(versions=True)

    @pytest.fixture
    def place(self, moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        give_keys(monkeypatch, moto)
        return PrefixPlace(moto, versions=True)


class TestMotoWithKeys(WithKeys):
    source = s3(versions=False)

    @pytest.fixture
    def place(self, moto: S3Server, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        give_keys(monkeypatch, moto)
        return PrefixPlace(moto)
