"""Gets the quickstart's data: real files out of scanpy's wheel, and a synthetic gigabyte. What is there is kept."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent
SERVED = HERE / ".cache" / "served"
WHEEL = {
    "scanpy/10x_pbmc68k_reduced.h5ad": "scanpy/datasets/10x_pbmc68k_reduced.h5ad",
    "scanpy/krumsiek11.txt": "scanpy/datasets/krumsiek11.txt",
    "scanpy/LICENSE": "scanpy-1.11.5.dist-info/licenses/LICENSE",
}
FIELD = "synthetic/field.h5"
SIDE = 16384
SLAB = 1024


def expected() -> dict[str, str]:
    """Path below the served folder → sha256, as committed."""
    lines = (HERE / "SHA256SUMS").read_text("utf-8").splitlines()
    return {path: digest for digest, path in (line.split("  ", 1) for line in lines)}


def prepare() -> None:
    """Brings every file of SHA256SUMS to ``SERVED``, or exits and says which is not what it should be."""
    missing = {path for path in expected() if not (SERVED / path).exists()}
    if missing & WHEEL.keys():
        print("downloading scanpy's wheel for the single-cell matrix in it (2 MB)", flush=True)
        _unpack_wheel(missing & WHEEL.keys())
    if FIELD in missing:
        print("writing the synthetic HDF5 file (1 GiB)", flush=True)
        _write(FIELD, write_field)


def _unpack_wheel(paths: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--dest", folder]
        done = subprocess.run([*pip, "-r", HERE / "scanpy.txt"], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"pip could not download scanpy's wheel:\n{done.stderr}")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for path in paths:
                _write(path, partial(_extract, archive, WHEEL[path]))


def _extract(archive: zipfile.ZipFile, member: str, file: Path) -> None:
    file.write_bytes(archive.read(member))


def write_field(file: Path, side: int = SIDE) -> None:
    """The same bytes on every machine: no times, no chunks, the oldest layout, whole numbers in float32."""
    row = np.arange(side, dtype=np.uint32) * 7919
    with h5py.File(file, "w", libver=("earliest", "v108")) as out:
        field = out.create_dataset("field", shape=(side, side), dtype="<f4", track_times=False)
        field.attrs["origin"] = np.bytes_("synthetic: (7919 * column + 31 * row) mod 65521")
        for start in range(0, side, SLAB):
            rows = np.arange(start, min(start + SLAB, side), dtype=np.uint32)
            field[start : start + SLAB] = (row[None, :] + 31 * rows[:, None]) % 65521


def _write(path: str, write: Callable[[Path], object]) -> None:
    """Complete, and with the committed sha256, or absent."""
    target = SERVED / path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        write(part)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected()[path]:
            sys.exit(f"{path} came out as sha256 {digest}, not as SHA256SUMS and the lock have it: {expected()[path]}")
        part.rename(target)
    except OSError as error:
        sys.exit(f"{path} can't be written below {SERVED}: {error}")
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    prepare()
