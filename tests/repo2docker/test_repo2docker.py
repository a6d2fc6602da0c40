"""The mixin in the real repo2docker: which build pack it picks, and the Dockerfile that it renders."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("repo2docker's images are Linux's", allow_module_level=True)
pytest.importorskip("repo2docker", reason="repo2docker is not installed: pip install 'gotdata[repo2docker]'")

from repo2docker.app import Repo2Docker
from repo2docker.buildpacks import BaseImage, DockerBuildPack
from traitlets.config import Config

from gotdata.errors import DeliveryError, ManifestError
from gotdata.project import Project
from gotdata.repo2docker import Gotdata, configure

MANIFEST = "gotdata: 1\ndata:\n  cells:\n    from: ./src\n    as: bake\n  mice:\n    from: ./other\n"
CONTENT = b"cells of a mouse\n" * 1000

Repository = Callable[..., Path]


@pytest.fixture
def repository(tmp_path: Path, store: Path) -> Repository:
    """Makes one with data, a lock, and files besides."""

    def make(manifest: str = MANIFEST, folder: str = "", **files: str) -> Path:
        root = tmp_path / "repository"
        for place in ("src", "other", folder):
            (root / place).mkdir(parents=True, exist_ok=True)
        (root / "src/cells.txt").write_bytes(CONTENT)
        (root / "other/mice.txt").write_text("mice\n")
        if manifest:
            (root / folder / "gotdata.yml").write_text(manifest)
            with Project.find(root) as project:
                project.lock(hash=True)
        for name, text in files.items():
            path = root / folder / name.replace("_", ".")
            path.write_text(text)
            path.chmod(0o755)
        return root

    return make


def rendered(root: Path, config: Config, capsys: pytest.CaptureFixture[str]) -> str:
    """What repo2docker would build of a repository."""
    app = Repo2Docker(config=config, repo=str(root), user_id=1000, user_name="jovyan", dry_run=True, run=False)
    app.build()
    return capsys.readouterr().out


@pytest.fixture
def config() -> Config:
    made = Config()
    configure(made)
    return made


def picked(root: Path, config: Config) -> BaseImage:
    app = Repo2Docker(config=config)
    with chdir(root):
        packs = (pack(base_image=app.base_image) for pack in app.buildpacks)
        return next((pack for pack in packs if pack.detect()), app.default_buildpack(base_image=app.base_image))


PACKS = {
    "requirements.txt": ("numpy==2.0\n", "PythonBuildPack"),
    "environment.yml": ("dependencies: [python=3.12]\n", "CondaBuildPack"),
    "Pipfile": ("[packages]\n", "PipfileBuildPack"),
    "REQUIRE": ("julia 1.6.0\n", "JuliaRequireBuildPack"),
    "Project.toml": ("", "JuliaProjectTomlBuildPack"),
    "runtime.txt": ("r-4.1-2023-01-01\n", "RBuildPack"),
    "default.nix": ("{}\n", "NixBuildPack"),
    "": ("", "PythonBuildPack"),
}


@pytest.mark.parametrize("name", PACKS)
def test_each_build_pack_is_picked_as_without_us_and_is_mixed(
    repository: Repository, config: Config, name: str
) -> None:
    root = repository()
    if name:
        (root / name).write_text(PACKS[name][0])
    assert type(picked(root, Config())).__name__ == type(picked(root, config)).__name__ == PACKS[name][1]
    assert isinstance(picked(root, config), Gotdata)


def test_all_of_repo2dockers_build_packs_but_those_of_a_dockerfile_are_mixed(config: Config) -> None:
    app = Repo2Docker(config=config)
    assert [pack.__name__ for pack in app.buildpacks] == [pack.__name__ for pack in Repo2Docker().buildpacks]
    plain = {pack.__name__ for pack in app.buildpacks if not issubclass(pack, Gotdata)}
    assert plain == {"DockerBuildPack", "LegacyBinderDockerBuildPack"}
    assert issubclass(app.default_buildpack, Gotdata)


@pytest.mark.parametrize("name", ["requirements.txt", "environment.yml", "Pipfile", "REQUIRE", "default.nix", ""])
def test_a_dockerfile_has_our_steps_and_all_of_the_others(
    repository: Repository, config: Config, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    root = repository()
    if name:
        (root / name).write_text(PACKS[name][0])
    said = rendered(root, config, capsys).splitlines()
    (root / "gotdata.yml").unlink()
    without = rendered(root, Config(), capsys).splitlines()
    assert any("pip install --quiet --no-cache-dir --disable-pip-version-check gotdata==" in line for line in said)
    assert said.index("RUN gotdata bake") > said.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")
    assert 'ENV R2D_ENTRYPOINT="/opt/gotdata/start"' in said
    missing = [line for line in without if line not in said and "R2D_ENTRYPOINT" not in line and "chmod +x" not in line]
    assert missing == []


def test_a_repository_without_a_manifest_is_built_as_without_us(
    repository: Repository, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(manifest="", start='#!/bin/sh\nexec "$@"\n', requirements_txt="numpy\n")
    assert rendered(root, config, capsys) == rendered(root, Config(), capsys)


def test_a_dockerfile_of_the_repository_is_all_there_is(
    repository: Repository, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(Dockerfile="FROM scratch\n")
    assert type(picked(root, config)) is DockerBuildPack
    assert rendered(root, config, capsys) == "FROM scratch\n\n"


@pytest.mark.parametrize("folder", ["", "binder", ".binder"])
def test_the_manifest_is_found_where_repo2docker_finds_its_files(
    repository: Repository, config: Config, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    root = repository(folder=folder, start='#!/bin/sh\nexec "$@"\n', postBuild="#!/bin/sh\n")
    said = rendered(root, config, capsys).splitlines()
    assert f"ENV GOTDATA_START=${{REPO_DIR}}/{Path(folder, 'start')}" in said
    assert said.index("RUN gotdata bake") < said.index(f"RUN ./{Path(folder, 'postBuild')}")


def test_only_what_wishes_it_is_baked(
    repository: Repository, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    said = rendered(repository(MANIFEST.replace("as: bake", "as: mount")), config, capsys)
    assert "/opt/gotdata/start" in said
    assert "gotdata bake" not in said


def label(said: str, name: str) -> Any:
    """As Docker reads it between double quotes."""
    [line] = [line for line in said.splitlines() if line.startswith(f"LABEL {name}=")]
    found = re.fullmatch(r'LABEL [a-z.]+="((?:[^"\\$]|\\["\\$])*)"', line)
    assert found, line
    return json.loads(re.sub(r"\\(.)", r"\1", found[1]))


def test_labels_say_what_is_named_and_what_it_is_pinned_to(
    repository: Repository, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository()
    said = rendered(root, config, capsys)
    assert label(said, "gotdata.manifest")["cells"] == {"from": ["file:src"], "to": "data/cells", "as": "bake"}
    pinned = label(said, "gotdata.lock")["cells"]
    with Project.find(root) as project:
        [status, _] = project.status()
    assert (pinned["snapshot"], pinned["level"], pinned["bytes"]) == (status.snapshot, "verified", len(CONTENT))


def test_nothing_of_a_reference_becomes_an_instruction_or_shows_a_secret(
    repository: Repository, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = 'https://h.example/a"b$HOME$(id)\\c`id`?rlkey=s3cret'
    root = repository(manifest="")
    (root / "gotdata.yml").write_text(f"gotdata: 1\ndata:\n  x:\n    from: '{reference}'\n")
    said = rendered(root, config, capsys)
    assert "s3cret" not in said
    assert label(said, "gotdata.manifest")["x"]["from"] == [reference.replace("s3cret", "…")]


def test_a_manifest_with_faults_ends_the_build_and_names_its_line(repository: Repository, config: Config) -> None:
    root = repository()
    (root / "gotdata.yml").write_text("gotdata: 1\ndata:\n  x: {form: ./src}\n")
    with pytest.raises(ManifestError, match=r"gotdata\.yml:3"):
        Repo2Docker(config=config, repo=str(root), dry_run=True, run=False).build()


def test_an_operator_says_what_is_installed_and_how_it_works(
    repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, wheel = repository(), tmp_path / "gotdata-1.0-py3-none-any.whl"
    made = Config()
    configure(made, gotdata=str(wheel), gotdata_settings={"networks": "10.0.0.0/8", "bake_max_size": "5 GB"})
    with pytest.raises(DeliveryError, match="is not there"):
        rendered(root, made, capsys)
    wheel.touch()
    said = rendered(root, made, capsys)
    assert "--disable-pip-version-check /opt/gotdata/gotdata-1.0-py3-none-any.whl" in said
    assert 'ENV GOTDATA_NETWORKS="10.0.0.0/8"' in said
    assert 'ENV GOTDATA_BAKE_MAX_SIZE="5 GB"' in said
