"""Where keys go, and where they must not: each to the endpoint that this person's configuration binds it to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gotdata.credentials import PUBLIC, Credential, Credentials
from gotdata.errors import AuthRequired
from gotdata.model import Pin, Ref, RemoteFile, Span
from gotdata.reach import ANYWHERE
from gotdata.settings import Settings
from gotdata.sources.s3 import S3
from gotdata.sources.s3_access import open_access
from gotdata.sources.s3_bucket import Bucket
from gotdata.testing.source_contract import context
from tests.sources.s3_double import Asked, Said, Store, open_store, serving

SOURCE = S3()
KEY, SECRET, TOKEN = "AKIDKEYOFLAB", "very-secret-indeed", "session-token"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys for AWS, as most people have them: in the environment, bound to no endpoint."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)


@pytest.fixture
def profiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Writes the AWS configuration file."""

    def write(text: str) -> None:
        (tmp_path / "config").write_text(text)

    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return write


def use(store: Store) -> str:
    """Everything that a reference makes the source do. Returns the realm."""
    ctx = context(retries=0)
    pin = SOURCE.resolve(store.ref(), ctx)
    for file in SOURCE.files(pin, ctx):
        with SOURCE.read(pin, file, Span(0, 1), ctx) as stream:
            assert stream.read() == b"1"
    SOURCE.resolve(store.ref("d/x"), ctx)
    return SOURCE.realm(pin, ctx)


def told(store: Store) -> str:
    return "\n".join(f"{asked.path} {asked.query} {asked.headers}" for asked in store.asked)


def secrets_told(store: Store) -> list[str]:
    return [word for word in (KEY, SECRET, TOKEN, "authorization", "x-amz-security-token") if word in told(store)]


@pytest.mark.usefixtures("keys")
def test_a_manifest_s_endpoint_never_gets_the_keys_for_aws() -> None:
    with serving(open_store) as store:
        assert use(store) == PUBLIC
        assert len(store.asked) > 4
        assert secrets_told(store) == []


@pytest.mark.usefixtures("keys")
def test_a_forged_pin_s_endpoint_gets_no_keys_either() -> None:
    with serving(open_store) as store:
        pin = Pin("s3", store.ref(), "s3://bucket/d/", {"listing": "objects"})
        with SOURCE.read(pin, RemoteFile("x", 1, version='etag:"e"'), Span(0, 1), context()) as stream:
            assert stream.read() == b"1"
        assert secrets_told(store) == []


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_keys_are_used_for_the_endpoint_beside_which_they_stand(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with serving(open_store) as store:
        monkeypatch.setenv(variable, f"{store.url}/")
        assert use(store).startswith("cred:")
        read = [asked for asked in store.asked if asked.path == "/bucket/d/x" and asked.method == "GET"]
        assert f"Credential={KEY}/" in read[0].headers["authorization"]
        assert read[0].headers["x-amz-security-token"] == TOKEN
        assert SECRET not in told(store)
        assert KEY not in "".join(asked.path + str(asked.query) for asked in store.asked), "no key stands in a URL"


@pytest.mark.usefixtures("keys")
def test_keys_for_an_endpoint_go_neither_to_another_nor_to_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(open_store) as theirs, serving(open_store) as other:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", theirs.url)
        assert use(other) == PUBLIC
        assert secrets_told(other) == []
        assert theirs.asked == []
        aws = open_access(Bucket("bucket"), Settings(), ANYWHERE)
        assert "and this is in AWS" in aws.unsigned
        assert "authorization" not in {name.lower() for name in aws.request("key", "")[1]}


@pytest.mark.usefixtures("keys")
def test_a_profile_s_endpoint_gets_that_profile_s_keys(profiles: Callable[[str], None]) -> None:
    with serving(open_store) as store:
        profiles(
            "[profile other]\nendpoint_url = http://127.0.0.1:1\naws_access_key_id = NO\naws_secret_access_key = NO\n"
            "[profile lab]\nservices = here\naws_access_key_id = LABKEY\naws_secret_access_key = LABSECRET\n"
            f"[services here]\ns3 =\n  endpoint_url = {store.url}\n"
        )
        assert use(store).startswith("cred:")
        assert "Credential=LABKEY/" in told(store)
        assert secrets_told(store) == ["authorization"]


def test_the_setting_chooses_a_profile_and_its_endpoint_is_pinned(profiles: Callable[[str], None]) -> None:
    with serving(open_store) as store:
        profiles(
            f"[profile lab]\nendpoint_url = {store.url}\n"
            "aws_access_key_id = LABKEY\naws_secret_access_key = LABSECRET\n"
        )
        pin = SOURCE.resolve(Ref("s3://bucket/d/"), context(s3_profile="lab"))
        assert dict(pin.ref.options) == {"endpoint": store.url}
        assert pin.namespace == f"{store.url}/bucket/d/"
        assert "Credential=LABKEY/" in told(store)


def test_a_profile_that_is_not_there_is_said_to_be() -> None:
    with pytest.raises(AuthRequired, match="nobody"):
        SOURCE.resolve(Ref("s3://bucket/d/"), context(s3_profile="nobody"))


def test_instance_metadata_is_not_asked_on_behalf_of_a_manifest_s_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: (404, {}, "")) as metadata, serving(open_store) as store:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        assert use(store) == PUBLIC
        assert metadata.asked == []
        open_access(Bucket("bucket"), Settings(), ANYWHERE)
        assert metadata.asked, "for AWS it is asked"


def test_an_unsigned_read_is_in_the_realm_of_the_credential_that_goes_with_it() -> None:
    with serving(open_store) as store:
        mine = Credential(f"{store.url}/bucket/", "cred:mine", (("Authorization", "Bearer b"),))
        ctx = context(Credentials([mine]))
        pin = SOURCE.resolve(store.ref(), ctx)
        assert SOURCE.realm(pin, ctx) == ctx.credentials.realm(f"{store.url}/bucket/d/") != PUBLIC


@pytest.mark.usefixtures("keys")
def test_the_region_in_a_refusal_is_the_one_signed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def say(asked: Asked) -> Said:
        if asked.method == "HEAD" and asked.path == "/bucket":
            return 403, {"x-amz-bucket-region": "eu-north-1"}, ""
        return open_store(asked)

    with serving(say) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        use(store)
        signed = [asked.headers["authorization"] for asked in store.asked if "authorization" in asked.headers]
        assert signed
        assert all("/eu-north-1/s3/aws4_request" in header for header in signed)


@pytest.mark.usefixtures("keys")
def test_the_requester_pays_if_the_reference_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(open_store) as store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.url)
        pin = SOURCE.resolve(store.ref(requester_pays="true"), context())
        (file,) = SOURCE.files(pin, context())
        SOURCE.read(pin, file, Span(0, 1), context()).close()
        assert dict(pin.ref.options)["requester_pays"] == "true"
        about_objects = [asked for asked in store.asked if asked.path != "/bucket" or asked.query]
        assert {asked.headers.get("x-amz-request-payer") for asked in about_objects} == {"requester"}
        assert "x-amz-request-payer" in about_objects[-1].headers["authorization"], "it is signed"
