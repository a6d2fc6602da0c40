"""The contract of sources, kept by s3 against real stores: with keys and without, with versions and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gotdata.credentials import PUBLIC
from gotdata.sources.base import Powers
from gotdata.sources.s3 import S3
from gotdata.testing.source_contract import ODD_NAMES, SourceContract
from tests.e2e.between import Between
from tests.e2e.s3_place import PrefixPlace, give_keys, proxied
from tests.e2e.servers import S3Server

WITHOUT_BACKSLASH = tuple(name for name in ODD_NAMES if "\\" not in name)
"""SeaweedFS turns a backslash into a slash."""


def s3(*, versions: bool) -> S3:
    """The source, with the powers that it has in a bucket that does or does not keep versions."""
    source = S3()
    source.powers = Powers(versions=versions)
    return source


@pytest.fixture
def behind(weed: S3Server) -> Iterator[Between]:
    """A proxy before SeaweedFS, for what that can't be brought to do."""
    with proxied(weed) as proxy:
        yield proxy


@pytest.fixture
def before_moto(moto: S3Server) -> Iterator[Between]:
    with proxied(moto) as proxy:
        yield proxy


def keyed(patch: pytest.MonkeyPatch, place: PrefixPlace) -> PrefixPlace:
    give_keys(patch, place.server)
    return place


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
    against = "SeaweedFS"
    odd_names = WITHOUT_BACKSLASH

    @pytest.fixture
    def place(self, weed: S3Server, behind: Between, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        return keyed(monkeypatch, PrefixPlace(weed, proxy=behind))


class TestSeaweedWithVersions(WithKeys):
    source = s3(versions=True)
    against = "SeaweedFS"
    lacks = ("fill",)
    odd_names = WITHOUT_BACKSLASH

    @pytest.fixture
    def place(self, weed: S3Server, behind: Between, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        return keyed(monkeypatch, PrefixPlace(weed, versions=True, proxy=behind))


class TestSeaweedAnonymous(SourceContract):
    source = s3(versions=False)
    against = "SeaweedFS"
    lacks = ("fill",)
    odd_names = WITHOUT_BACKSLASH

    @pytest.fixture
    def place(self, weed: S3Server, behind: Between) -> PrefixPlace:
        return PrefixPlace(weed, public=True, proxy=behind)


class TestMotoWithVersions(WithKeys):
    source = s3(versions=True)
    against = "moto"
    lacks = ("fill", "deny")

    @pytest.fixture
    def place(self, moto: S3Server, before_moto: Between, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        return keyed(monkeypatch, PrefixPlace(moto, versions=True, proxy=before_moto))


class TestMotoWithKeys(WithKeys):
    source = s3(versions=False)
    against = "moto"
    lacks = ("fill", "deny")

    @pytest.fixture
    def place(self, moto: S3Server, before_moto: Between, monkeypatch: pytest.MonkeyPatch) -> PrefixPlace:
        return keyed(monkeypatch, PrefixPlace(moto, proxy=before_moto))
