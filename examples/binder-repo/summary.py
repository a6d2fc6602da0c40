"""How many of which species were seen: reads data where gotdata.yml says that it is."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

DATA = Path(__file__).parent / "data"

with (DATA / "species/birds.csv").open() as table:
    names = {row["id"]: row["name"] for row in csv.DictReader(table)}
seen: Counter[str] = Counter()
for station in sorted((DATA / "2026/measurements").glob("*.csv")):
    with station.open() as table:
        seen.update(names[row["species"]] for row in csv.DictReader(table))
for name, count in seen.most_common():
    print(f"{count:7,} {name}")
