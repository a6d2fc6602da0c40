"""huggingface_hub reads our Hub: its endpoint is an argument, all else is as it comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gotdata.testing.huggingface_double import Hub
from gotdata.testing.source_contract import BODY

CLIENT = ("huggingface", "huggingface_hub")

hub_client = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

FILES = {"README.md": b"# Cells\n", "data/big.bin": BODY, "data/deep/small.csv": b"a,b\n1,2\n", "empty": b""}
REPO = "lab/cells"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        hub.page = 2
        hub.commit(f"datasets/{REPO}", FILES)
        yield hub


def test_it_lists_what_the_double_holds(hub: Hub) -> None:
    api = hub_client.HfApi(endpoint=hub.root)
    assert api.dataset_info(REPO).sha == api.dataset_info(REPO, revision="main").sha
    tree = api.list_repo_tree(REPO, repo_type="dataset", recursive=True)
    files = {entry.path: entry for entry in tree if isinstance(entry, hub_client.hf_api.RepoFile)}
    assert {path: entry.size for path, entry in files.items()} == {path: len(body) for path, body in FILES.items()}
    assert files["data/big.bin"].lfs.sha256 == hashlib.sha256(BODY).hexdigest()
    [info] = api.get_paths_info(REPO, ["README.md", "no/such"], repo_type="dataset")
    assert info.blob_id == files["README.md"].blob_id


@pytest.mark.parametrize("cached", [False, True])
def test_it_fetches_the_bytes(hub: Hub, tmp_path: Path, cached: bool) -> None:
    hub.cached = cached
    for path, body in FILES.items():
        at = hub_client.hf_hub_download(
            REPO, path, repo_type="dataset", endpoint=hub.root, cache_dir=tmp_path, token=False
        )
        assert Path(at).read_bytes() == body


def test_it_knows_the_refusals(hub: Hub, tmp_path: Path) -> None:
    errors = hub_client.errors
    api = hub_client.HfApi(endpoint=hub.root)
    with pytest.raises(errors.RepositoryNotFoundError):
        api.dataset_info("lab/none")
    with pytest.raises(errors.RevisionNotFoundError):
        api.dataset_info(REPO, revision="none")
    hub.gated.add(f"datasets/{REPO}")
    with pytest.raises(errors.GatedRepoError):
        hub_client.hf_hub_download(REPO, "README.md", repo_type="dataset", endpoint=hub.root, cache_dir=tmp_path)
