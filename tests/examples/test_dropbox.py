"""The example of Dropbox, run against a double of it: what differs from the real one is the address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gotdata.testing.dropbox_double import DropboxDouble

EXAMPLE = Path(__file__).parents[2] / "examples" / "dropbox" / "gotdata.yml"
LINK, OWN = "https://www.dropbox.com/s/oypj1ejyvb14efd/cnn_model.h5?dl=1", "dropbox:/Lab/Runs%202026/"


def test_lock_and_up_bring_the_shared_file_and_the_own_folder(tmp_path: Path) -> None:
    with DropboxDouble() as double:
        double.put("/public/cnn_model.h5", b"a classifier")
        double.put("/Lab/Runs 2026/one.csv", b"1,2\n")
        double.put("/Lab/Runs 2026/notes.txt", b"not wanted")
        text = EXAMPLE.read_text("utf-8")
        assert LINK in text
        assert OWN in text
        text = text.replace(LINK, f"dropbox:{double.share('/public/cnn_model.h5', old=True)}?dl=1")
        text = text.replace(OWN, f"dropbox:{double.root}/home/Lab/Runs%202026/")
        (tmp_path / "gotdata.yml").write_text(text)
        held = tmp_path / "credentials.toml"
        held.write_text(f'["{double.root}/2/"]\nbearer = "{double.token}"\n')
        environ = {**os.environ, "GOTDATA_STORE": str(tmp_path / "store"), "HOME": str(tmp_path)}
        environ["GOTDATA_CREDENTIALS"] = str(held)
        for words in (["lock", "--hash"], ["up", "--as", "copy"]):
            done = subprocess.run(
                [str(Path(sys.executable).with_name("gotdata")), *words],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert double.token not in done.stdout + done.stderr
    assert (tmp_path / "data/classifier/cnn_model.h5").read_bytes() == b"a classifier"
    assert [path.name for path in (tmp_path / "data/runs").iterdir()] == ["one.csv"]
    assert double.token not in (tmp_path / "gotdata.lock").read_text("utf-8")
