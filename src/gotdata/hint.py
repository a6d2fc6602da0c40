"""The line of Python or R that opens a dataset, by the names of its files."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

_LOOKED_AT = 1000

_OPENERS = {
    ".h5ad": "anndata.read_h5ad({})",
    ".zarr": "zarr.open({})",
    ".h5": "h5py.File({})",
    ".hdf5": "h5py.File({})",
    ".nc": "xarray.open_dataset({})",
    ".parquet": "pandas.read_parquet({})",
    ".csv": "pandas.read_csv({})",
    ".csv.gz": "pandas.read_csv({})",
    ".tsv": 'pandas.read_csv({}, sep="\\t")',
    ".tsv.gz": 'pandas.read_csv({}, sep="\\t")',
    ".xlsx": "pandas.read_excel({})",
    ".npy": "numpy.load({}, mmap_mode='r')",
    ".npz": "numpy.load({})",
    ".fits": "astropy.io.fits.open({})",
    ".nii": "nibabel.load({})",
    ".nii.gz": "nibabel.load({})",
    ".tif": "tifffile.imread({})",
    ".tiff": "tifffile.imread({})",
    ".root": "uproot.open({})",
    ".rds": "readRDS({})",
    ".rdata": "load({})",
    ".json": "json.load(open({}))",
}
"""In order of preference: the data before the tables that describe it."""


def hint(to: str, paths: Iterable[str]) -> str:
    """``to`` is where the dataset appears; ``paths`` are its files'. Looks at the first thousand only."""
    seen = list(islice(paths, _LOOKED_AT))
    for ending, call in _OPENERS.items():
        for path in seen:
            if path.lower().endswith(ending) and path.isprintable():
                return call.format(_quoted(f"{to}/{path}"))
    return f"pathlib.Path({_quoted(to)}).iterdir()"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
