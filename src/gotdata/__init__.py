"""Data appears in notebooks and containers: gotdata.yml says what, gotdata.lock pins it.

>>> import gotdata
>>> gotdata.open("cells/matrix.h5ad")      # a file, wherever it is
>>> gotdata.path("cells")                  # the folder where it appeared
>>> gotdata.up()                           # all of gotdata.yml, as `gotdata up`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gotdata.api import open, path, up
    from gotdata.errors import GotdataError

__all__ = ["GotdataError", "__version__", "open", "path", "up"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded when first used: `import gotdata` costs as much as Python itself.
    if name in {"open", "path", "up"}:
        from gotdata import api

        return getattr(api, name)
    if name == "GotdataError":
        from gotdata.errors import GotdataError

        return GotdataError
    raise AttributeError(f"module 'gotdata' has no attribute {name!r}")
