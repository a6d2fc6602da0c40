"""Units are held against systemd's own programs: it enables them below another root, and reads them."""

from __future__ import annotations

import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("units need Linux", allow_module_level=True)
if not (shutil.which("systemctl") and shutil.which("systemd-analyze")):
    pytest.skip("systemd is not installed", allow_module_level=True)

from gotdata.errors import DeliveryError
from gotdata.serve import units


def check(path: Path) -> str:
    """What systemd has against a unit, but for what it would need of a running machine."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True)
    return "\n".join(line for line in done.stderr.splitlines() if path.name in line)


def test_the_daemons_units_are_enabled_and_systemd_reads_them(tmp_path: Path) -> None:
    made = units.daemon(tmp_path, ["--plugin=two words"])
    assert 'daemon --keeper-apart "--plugin=two words"\n' in made[1].read_text()
    assert [path.name for path in made] == ["gotdata-keeper.service", "gotdata.service"]
    for path in made:
        assert check(path) == ""
        assert (tmp_path / "etc/systemd/system/multi-user.target.wants" / path.name).is_symlink()
    assert "KillMode=process" in made[1].read_text()


@pytest.mark.parametrize("name", ["class data", 'a "b" $HOME %h', "böse\\stelle"])
def test_a_unit_for_a_repository_runs_up_there_whatever_its_folder_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    made = units.boot(folder, ["cells"], root=tmp_path)
    assert check(made) == ""
    assert f"User={pwd.getpwuid(folder.stat().st_uid).pw_name}\n" in made.read_text()
    assert "up --locked cells" in made.read_text()


def test_a_folder_that_no_unit_can_name_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a\nExecStart=evil"
    folder.mkdir()
    with pytest.raises(DeliveryError, match="can't stand in a unit"):
        units.boot(folder, root=tmp_path)
