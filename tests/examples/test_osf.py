"""The example of the OSF, run against a double of it: what differs from the real one is the address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gotdata.testing.osf_double import Osf

EXAMPLE = Path(__file__).parents[2] / "examples" / "osf" / "gotdata.yml"


def test_lock_and_up_bring_the_table(tmp_path: Path) -> None:
    with Osf() as osf:
        id = osf.put(osf.project(), "RPPdata.csv", b"study,replicated\n1,yes\n")
        text = EXAMPLE.read_text("utf-8")
        assert "https://osf.io/fgjvw/" in text
        (tmp_path / "gotdata.yml").write_text(text.replace("https://osf.io/fgjvw/", f"osf:{osf.root}/download/{id}"))
        environ = {**os.environ, "GOTDATA_STORE": str(tmp_path / "store"), "HOME": str(tmp_path)}
        for words in (["lock"], ["up", "--as", "copy"]):
            done = subprocess.run(
                [str(Path(sys.executable).with_name("gotdata")), *words],
                cwd=tmp_path,
                env=environ,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data/replications/RPPdata.csv").read_bytes() == b"study,replicated\n1,yes\n"
    assert "verified" in (tmp_path / "gotdata.lock").read_text("utf-8")
