"""The example of Dataverse, run against a double of it: what differs from the real one is the address."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gotdata.testing.dataverse_double import Dataverse

EXAMPLE = Path(__file__).parents[2] / "examples" / "dataverse" / "gotdata.yml"


def test_lock_and_up_bring_the_pinned_version(tmp_path: Path) -> None:
    with Dataverse() as server:
        pid = server.create()
        code = server.file("02_Data_Cleaning.R", b"table <- 1\n")
        table = server.file("05_cleaned_data.csv", b"a,b\n", label="05_cleaned_data.tab", tabular=True)
        server.publish(pid, code, table, version="1.1")
        server.publish(pid, server.file("other.R", b"no\n"), version="2.0")
        text = EXAMPLE.read_text("utf-8")
        assert "doi:10.7910/DVN/Q5PV4U" in text
        (tmp_path / "gotdata.yml").write_text(text.replace("doi:10.7910/DVN/Q5PV4U", server.page_of(pid)))
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
    delivered = {path.name: path.read_bytes() for path in (tmp_path / "data/replication").iterdir()}
    assert delivered == {"02_Data_Cleaning.R": b"table <- 1\n"}
    assert "version=1.1" in (tmp_path / "gotdata.lock").read_text("utf-8")
