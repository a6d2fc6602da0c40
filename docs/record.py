"""Draws docs/quickstart.svg: what `make run` prints, as the README shows it. `.venv/bin/python docs/record.py`"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parent.parent


def main() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/quickstart/run.py"], capture_output=True, text=True, check=True
    )
    console = Console(record=True, width=108, file=io.StringIO())
    console.print(Text("$ make run", style="bold green"))
    for line in done.stdout.rstrip().splitlines():
        style = "bold green" if line.startswith("$ ") else "dim" if line.startswith("  [") else ""
        console.print(Text(line, style=style))
    svg = console.export_svg(title="gotdata")
    # A picture asks nobody for fonts.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    (ROOT / "docs/quickstart.svg").write_text(re.sub(r"terminal-\d+", "terminal", svg), "utf-8")


if __name__ == "__main__":
    main()
