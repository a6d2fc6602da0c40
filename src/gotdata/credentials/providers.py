"""What the providers want: at which addresses, in which header, made on which page, checked by which question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gotdata.credentials.held import basic
from gotdata.credentials.urls import site, spelt

BEARER = ("Authorization", "Bearer {}")


@dataclass(frozen=True, slots=True)
class Flow:
    """How a token is got without pasting one (OAuth 2.0). None of them needs a redirect to this machine.

    Attributes:
        kind: ``device`` (RFC 8628), ``code``: a code that the provider's page shows is pasted (RFC 7636).
        begin: where a device asks for its code, or the page that shows one.
        token: where codes and refresh tokens become access tokens.
        more: further words of the first question.
        client: where a client id is made.
    """

    kind: str
    begin: str
    token: str
    scope: str
    client: str
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Provider:
    """Attributes:
    prefixes: the addresses of one that there is once. Its token goes to these, and nowhere else.
    hosts: known installations of one that there are many of.
    header: name, and value with ``{}`` for the token.
    password_of: prefixes at which the token is sent as the password of a user, by that user's name.
    page: where people make a token; ``{}`` is the installation's root. Empty: it can't be pasted.
    check: what answers who asks; where it begins with ``/``, below the root. Empty: nothing does.
    own: where that is below somebody's own installation, if not at the same path.
    name: the path of keys in that answer that is the account's name.
    known_by: a public question below the root, and the path of keys in its answer, which tell such an installation.
    environ: variables of its own tools that hold a token.
    """

    title: str
    prefixes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    header: tuple[str, str] = BEARER
    password_of: Mapping[str, str] = field(default_factory=dict)
    page: str = ""
    check: str = ""
    own: str = ""
    name: tuple[str, ...] = ()
    known_by: tuple[str, ...] = ()
    environ: tuple[str, ...] = ()
    flow: Flow | None = None

    def headers(self, prefix: str, token: str) -> tuple[tuple[str, str], ...]:
        user = self.password_of.get(prefix)
        return ((self.header[0], self.header[1].format(token) if user is None else basic(f"{user}:{token}")),)

    @property
    def example(self) -> str:
        """The address of an installation."""
        return f"https://{self.hosts[0] if self.hosts else 'HOST'}/"

    def places(self, prefix: str) -> tuple[str, ...]:
        """All addresses of the account that is known at ``prefix``."""
        return self.prefixes if spelt(prefix) in self.prefixes else (prefix,)


_OSF_FILES = ("files.osf.io", *(f"files.{region}.osf.io" for region in ("us", "ca-1", "de-1", "au-1", "kr-1")))
_GOOGLE = ("https://oauth2.googleapis.com/device/code", "https://oauth2.googleapis.com/token")
_GOOGLE_CLIENT = "https://console.cloud.google.com/apis/credentials (kind: TVs and limited input devices)"

PROVIDERS: Mapping[str, Provider] = {
    "dataverse": Provider(
        "Dataverse",
        hosts=(
            "dataverse.harvard.edu",
            "demo.dataverse.org",
            "borealisdata.ca",
            "dataverse.nl",
            "heidata.uni-heidelberg.de",
            "dataverse.no",
            "darus.uni-stuttgart.de",
            "data.aussda.at",
            "entrepot.recherche.data.gouv.fr",
            "edmond.mpg.de",
        ),
        header=("X-Dataverse-key", "{}"),
        page="{}/dataverseuser.xhtml?selectTab=apiTokenTab",
        check="/api/users/:me",
        name=("data", "identifier"),
        known_by=("/api/info/version", "data", "version"),
    ),
    "osf": Provider(
        "OSF",
        ("https://api.osf.io/", *(f"https://{host}/" for host in _OSF_FILES)),
        page="https://osf.io/settings/tokens",
        check="https://api.osf.io/v2/users/me/",
        name=("data", "id"),
        environ=("OSF_TOKEN",),
    ),
    "invenio": Provider(
        "Zenodo and InvenioRDM",
        hosts=("zenodo.org", "sandbox.zenodo.org"),
        page="{}/account/settings/applications/",
        check="/api/user/records?size=1",
        known_by=("/api/records?size=1", "hits", "total"),
    ),
    "figshare": Provider(
        "Figshare",
        ("https://api.figshare.com/", "https://ndownloader.figshare.com/"),
        header=("Authorization", "token {}"),
        page="https://figshare.com/account/applications",
        check="https://api.figshare.com/v2/account",
        name=("email",),
    ),
    "dryad": Provider(
        "Dryad",
        ("https://datadryad.org/",),
        page="https://datadryad.org/account (API account: a token lasts ten hours)",
    ),
    "openneuro": Provider(
        "OpenNeuro",
        ("https://openneuro.org/",),
        header=("Cookie", "accessToken={}"),
        page="https://openneuro.org/keygen",
    ),
    "dandi": Provider(
        "DANDI",
        ("https://api.dandiarchive.org/",),
        header=("Authorization", "token {}"),
        page="https://dandiarchive.org (your initials, at the top right)",
        check="https://api.dandiarchive.org/api/users/me/",
        name=("username",),
        environ=("DANDI_API_KEY",),
    ),
    "ckan": Provider(
        "CKAN",
        header=("Authorization", "{}"),
        page="{}/user/ (your page, API Tokens)",
        known_by=("/api/3/action/status_show", "result", "ckan_version"),
    ),
    "huggingface": Provider(
        "Hugging Face",
        ("https://huggingface.co/",),
        page="https://huggingface.co/settings/tokens",
        check="https://huggingface.co/api/whoami-v2",
        name=("name",),
        environ=("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    ),
    "github": Provider(
        "GitHub",
        ("https://api.github.com/", "https://raw.githubusercontent.com/", "https://github.com/"),
        password_of={"https://github.com/": "x-access-token"},
        page="https://github.com/settings/personal-access-tokens",
        check="https://api.github.com/user",
        own="/api/v3/user",
        name=("login",),
        environ=("GH_TOKEN", "GITHUB_TOKEN"),
    ),
    "gitlab": Provider(
        "GitLab",
        hosts=("gitlab.com",),
        header=("PRIVATE-TOKEN", "{}"),
        page="{}/-/user_settings/personal_access_tokens",
        check="/api/v4/user",
        name=("username",),
    ),
    "dropbox": Provider(
        "Dropbox",
        ("https://api.dropboxapi.com/", "https://content.dropboxapi.com/"),
        page="https://www.dropbox.com/developers/apps",
        flow=Flow(
            "code",
            "https://www.dropbox.com/oauth2/authorize",
            "https://api.dropboxapi.com/oauth2/token",
            "files.content.read files.metadata.read sharing.read account_info.read",
            "https://www.dropbox.com/developers/apps",
            {"token_access_type": "offline"},
        ),
    ),
    "gdrive": Provider(
        "Google Drive",
        ("https://www.googleapis.com/",),
        check="https://www.googleapis.com/drive/v3/about?fields=user(emailAddress)",
        name=("user", "emailAddress"),
        flow=Flow("device", *_GOOGLE, "https://www.googleapis.com/auth/drive.readonly", _GOOGLE_CLIENT),
    ),
    "gcs": Provider(
        "Google Cloud Storage",
        ("https://storage.googleapis.com/",),
        flow=Flow("device", *_GOOGLE, "https://www.googleapis.com/auth/devstorage.read_only", _GOOGLE_CLIENT),
    ),
    "globus": Provider(
        "Globus",
        ("https://transfer.api.globus.org/",),
        flow=Flow(
            "code",
            "https://auth.globus.org/v2/oauth2/authorize",
            "https://auth.globus.org/v2/oauth2/token",
            "urn:globus:auth:scope:transfer.api.globus.org:all",
            "https://app.globus.org/settings/developers (a native app)",
            {"access_type": "offline", "redirect_uri": "https://auth.globus.org/v2/web/auth-code"},
        ),
    ),
}
"""By the name of the source."""


def of(url: str) -> tuple[str, Provider] | None:
    """The provider that is known at a URL by its host alone."""
    for name, provider in PROVIDERS.items():
        if any(site(prefix) == site(url) for prefix in all_prefixes(provider)):
            return name, provider
    return None


def all_prefixes(provider: Provider) -> Iterator[str]:
    yield from provider.prefixes
    yield from (f"https://{host}/" for host in provider.hosts)
