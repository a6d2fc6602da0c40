"""Reads the delivered data as one would read local files, because that is what they are: `read.py cells | field`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import h5py
import pandas as pd

DATA = Path(__file__).parent / "data"


def cells() -> str:
    with h5py.File(DATA / "cells" / "10x_pbmc68k_reduced.h5ad") as file:
        rows, columns = file["X"].shape
        mean = file["raw.X/data"][:].mean()
        names = [name.decode() for name in file["uns/bulk_labels_categories"]]
        observed = pd.DataFrame.from_records(file["obs"][:])
    kind = observed["bulk_labels"].map(dict(enumerate(names)))
    table = observed.groupby(kind)["n_genes"].agg(["size", "mean"]).sort_values("size", ascending=False)
    return (
        f"{rows} cells × {columns} genes, mean of what is expressed {mean:.4f}; genes a cell:\n{table.head(3).round(1)}"
    )


def field() -> str:
    with h5py.File(DATA / "field" / "field.h5") as file:
        numbers = file["field"]
        rows, columns = numbers.shape
        mean = numbers[rows // 2].mean()
    return f"{rows} × {columns} synthetic numbers, mean of the middle row {mean:.3f}"


if __name__ == "__main__":
    began = time.perf_counter()
    print({"cells": cells, "field": field}[sys.argv[1]]())
    print(f"opened and read in {time.perf_counter() - began:.2f} s")
