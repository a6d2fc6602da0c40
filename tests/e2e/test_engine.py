"""The engine for tests itself: it runs containers, and what tests count on is in its image."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.engine import Engine


def test_a_container_runs_as_the_user_that_was_asked_for_and_sees_the_folder(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "a").write_text("hello")
    done = engine.run(engine.image, "sh", "-c", "cat /data/a; id -u", volumes=[f"{tmp_path}:/data:ro"], user="1000")
    assert done.stdout == "hello1000\n"


def test_the_image_has_what_tests_read_with(engine: Engine) -> None:
    programs = ("python3 -c 'import ssl, sqlite3, ctypes'", "perl -e 1", "busybox true", "fusermount3 --version")
    engine.run(engine.image, "sh", "-ec", ";".join(programs))
