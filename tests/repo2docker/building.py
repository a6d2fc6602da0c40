"""Images that the real repo2docker has a real engine build, without a registry and conda-forge: its whole template, on
a base image of Debian's packages, with a build pack that installs nothing of its own."""

from __future__ import annotations

import re
import ssl
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from repo2docker.app import Repo2Docker
from repo2docker.buildpacks import BaseImage
from repo2docker.engine import ContainerEngine
from traitlets.config import Config

from gotdata.repo2docker import configure, with_gotdata
from tests.e2e.bridge import Bridge
from tests.e2e.engine import Engine
from tests.e2e.images import NO_NETWORK, ROOT

BASE = "gotdata.test/r2d-base:1"


class Classic(ContainerEngine):
    """The engine's own builder, which knows no ``COPY --chmod``: the modes are those of the context already."""

    string_output = True
    engine: Engine
    network: Bridge
    folder: Path

    def inspect_image(self, image: str) -> None:
        """It is always built."""

    def build(self, *, tag: str, fileobj: Any, buildargs: dict[str, str], **_: Any) -> Iterator[str]:
        with tarfile.open(fileobj=fileobj) as context:
            context.extractall(self.folder, filter="fully_trusted")
        dockerfile = self.folder / "Dockerfile"
        dockerfile.write_text(dockerfile.read_text().replace("COPY --chmod=0755 ", "COPY "))
        args = [word for pair in buildargs.items() for word in ("--build-arg", "=".join(pair))]
        args += ["--network", self.network.name]
        done = self.engine.docker("build", "-t", tag, *args, self.folder, check=False, timeout=600)
        if done.returncode and re.search(NO_NETWORK, done.stdout + done.stderr):
            pytest.skip(f"an image can't be built without a network: {done.stderr.strip().splitlines()[-1]}")
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        yield done.stdout


def build(engine: Engine, network: Bridge, root: Path, folder: Path, image: str) -> str:
    """Gives what was said meanwhile. ``folder`` is for work; networks of the bridge may be asked."""
    wheel = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    done = subprocess.run(wheel, capture_output=True, text=True)
    if done.returncode and re.search(NO_NETWORK, done.stderr):
        pytest.skip("a wheel can't be built without a network")
    assert done.returncode == 0, done.stderr
    [file] = folder.glob("*.whl")
    config = Config()
    attributes = {"gotdata": str(file), "gotdata_settings": {"networks": network.subnet}}
    configure(config, **attributes)
    config.Repo2Docker.buildpacks = with_gotdata([BaseImage], **attributes)
    app = Repo2Docker(config=config, repo=str(root), user_id=1000, user_name="jovyan", run=False, push=False)
    app.base_image, app.output_image_spec = _base(engine, folder / "base"), image
    builder = Classic(parent=app)
    builder.engine, builder.network, builder.folder = engine, network, folder / "context"
    app.get_engine = lambda: builder
    said: list[str] = []
    app.log.info = lambda text, *_, **__: said.append(text)
    app.build()
    return "".join(said)


def _base(engine: Engine, folder: Path) -> str:
    """What repo2docker's base image is to it, and trusts whom this machine trusts."""
    folder.mkdir()
    bundle = Path(ssl.get_default_verify_paths().cafile or "")
    (folder / "ca.crt").write_bytes(bundle.read_bytes() if bundle.is_file() else b"")
    trust = "COPY ca.crt /usr/local/share/\nENV PIP_CERT=/usr/local/share/ca.crt\n" if bundle.is_file() else ""
    (folder / "Dockerfile").write_text(f"FROM {engine.image}\n{trust}")
    engine.docker("build", "-t", BASE, folder)
    return BASE
