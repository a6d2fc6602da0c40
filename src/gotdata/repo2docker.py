"""repo2docker, for its operators: images of repositories with a gotdata.yml bake and deliver what it names.

In ``repo2docker_config.py``::

    from gotdata.repo2docker import configure

    configure(c)
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotdata import __version__, lock
from gotdata import manifest as manifests
from gotdata.errors import DeliveryError
from gotdata.paths import redact

if TYPE_CHECKING:

    class Pack:
        """What of a build pack is added to."""

        def get_base_packages(self) -> set[str]: ...
        def get_build_script_files(self) -> dict[str, str]: ...
        def get_build_scripts(self) -> list[tuple[str, str]]: ...
        def get_assemble_scripts(self) -> list[tuple[str, str]]: ...
        def get_env(self) -> list[tuple[str, str]]: ...
        def get_start_script(self) -> str | None: ...
        def get_labels(self) -> dict[str, str]: ...
else:
    Pack = object

HOME = "/opt/gotdata"
START = Path(__file__).with_name("repo2docker-start")
APT = {"ca-certificates", "fuse3", "python3", "python3-venv"}


class Gotdata(Pack):
    """What is mixed into a build pack. It changes nothing about a repository without a gotdata.yml.

    Attributes:
        gotdata: what pip installs: a requirement, or the path of a wheel on the machine that builds.
        gotdata_settings: by name, as in docs/settings.md; for the build and for the containers.
    """

    gotdata = f"gotdata=={__version__}"
    gotdata_settings: Mapping[str, str] = {}

    def get_base_packages(self) -> set[str]:
        return super().get_base_packages() | (APT if _manifest() else set())

    def get_build_script_files(self) -> dict[str, str]:
        files = dict(super().get_build_script_files())
        if _manifest():
            files[str(START)] = f"{HOME}/start"
            if _is_wheel(self.gotdata):
                files[os.path.abspath(self.gotdata)] = f"{HOME}/{Path(self.gotdata).name}"
        return files

    def get_build_scripts(self) -> list[tuple[str, str]]:
        scripts = list(super().get_build_scripts())
        if _manifest():
            what = f"{HOME}/{Path(self.gotdata).name}" if _is_wheel(self.gotdata) else self.gotdata
            steps = (
                # The system's, which no environment of the repository's changes. One in PATH would do for the user's.
                f"/usr/bin/python3 -m venv {HOME}",
                f"{HOME}/bin/pip install --quiet --no-cache-dir --disable-pip-version-check {shlex.quote(what)}",
                f"ln -s {HOME}/bin/gotdata /usr/local/bin/gotdata",
            )
            scripts.insert(0, ("root", " && ".join(steps)))
        return scripts

    def get_assemble_scripts(self) -> list[tuple[str, str]]:
        scripts = list(super().get_assemble_scripts())
        found = _manifest()
        if found and super().get_start_script():
            scripts.append(("${NB_USER}", 'chmod +x "${GOTDATA_START}"'))  # as it is done for the one that starts first
        if found and any(one.as_ == "bake" for one in found.data.values()):
            scripts.append(("${NB_USER}", "gotdata bake"))
        return scripts

    def get_env(self) -> list[tuple[str, str]]:
        env = list(super().get_env())
        if _manifest():
            env += [(f"GOTDATA_{name.upper()}", f'"{_quoted(one)}"') for name, one in self.gotdata_settings.items()]
            if own := super().get_start_script():
                env.append(("GOTDATA_START", own))
        return env

    def get_start_script(self) -> str | None:
        return f"{HOME}/start" if _manifest() else super().get_start_script()

    def get_labels(self) -> dict[str, str]:
        found = _manifest()
        return {**super().get_labels(), **({} if found is None else labels(found))}


def with_gotdata(packs: Sequence[type], **attributes: Any) -> list[type]:
    """The build packs, those that can be mixed with ``Gotdata`` mixed with it. A Dockerfile's can't: it is the whole of
    its image."""
    from repo2docker.buildpacks import BaseImage, DockerBuildPack

    def mixed(pack: type) -> type:
        if not issubclass(pack, BaseImage) or issubclass(pack, DockerBuildPack | Gotdata):
            return pack
        return type(pack.__name__, (Gotdata, pack), attributes)

    return [mixed(pack) for pack in packs]


def configure(config: Any, **attributes: Any) -> None:
    """Has repo2docker use its own build packs with ``Gotdata``, whose ``attributes`` may be set."""
    from repo2docker.app import Repo2Docker

    traits = Repo2Docker.class_traits()
    config.Repo2Docker.buildpacks = with_gotdata(traits["buildpacks"].default(), **attributes)
    [config.Repo2Docker.default_buildpack] = with_gotdata([traits["default_buildpack"].default_value], **attributes)


def labels(manifest: manifests.Manifest) -> dict[str, str]:
    """What an image says about its data: as JSON, what the manifest names, and to what the lock pins it."""
    known = lock.read(manifest.path.with_name(lock.NAME)).data
    named = {
        name: {"from": [redact(ref.url) for ref in one.refs], "to": one.to, "as": one.as_}
        for name, one in manifest.data.items()
    }
    pinned = {
        name: {
            "snapshot": one.snapshot,
            "level": str(one.level),
            "files": one.files,
            "bytes": one.bytes,
            "pins": [{"from": redact(pin.ref.url), "version": dict(pin.version)} for pin in one.pins],
        }
        for name, one in known.items()
        if name in manifest.data
    }
    return {"gotdata.manifest": _quoted(json.dumps(named)), "gotdata.lock": _quoted(json.dumps(pinned))}


def _manifest() -> manifests.Manifest | None:
    """Of the repository that is being built: repo2docker works in its root."""
    found = manifests.at(Path())
    return manifests.load(found) if found else None


def _is_wheel(what: str) -> bool:
    if not what.endswith(".whl"):
        return False
    if not os.path.isfile(what):
        raise DeliveryError(f"{what} is not there: the operator's configuration of repo2docker names it for gotdata")
    return True


def _quoted(text: str) -> str:
    """As it must stand between double quotes in a Dockerfile, that nothing of it is taken for more than text."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
