"""A cold file through the reading engine against curl, from nginx over loopback: `python bench/store_cold.py [MiB]`.

Prints seconds of: curl to a file; `ensure` of all blocks; `whole` (hashed, verified, promoted); `save`. The least of
five, taken in turns.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gotdata.credentials import PUBLIC, Credentials
from gotdata.model import Span
from gotdata.origin import Wanted
from gotdata.settings import Settings
from gotdata.sources.http_engine import Engine
from gotdata.store.reader import Reader
from gotdata.store.store import Store

PORT = 18766
CONFIG = """daemon off; pid {0}/pid; error_log {0}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on; client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0};
  uwsgi_temp_path {0}; scgi_temp_path {0}; server {{ listen 127.0.0.1:{1}; root {0}/www; }} }}"""


class NginxOrigin:
    checks = ()
    realm = PUBLIC
    ranges = True
    local = ""

    def __init__(self, engine: Engine, url: str, size: int) -> None:
        self.engine, self.url, self.size = engine, url, size
        self.version = engine.probe(url).version

    def open(self, span: Span):
        return self.engine.get(self.url, span, size=self.size, version=self.version)


def main(size: int) -> None:
    settings = Settings(store_keep_free=0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        (root / "www").mkdir()
        block = os.urandom(1 << 20)
        digest = hashlib.sha256()
        with (root / "www/file").open("wb") as file:
            for _ in range(size >> 20):
                file.write(block)
                digest.update(block)
        (root / "nginx.conf").write_text(CONFIG.format(root, PORT))
        nginx = subprocess.Popen(["nginx", "-c", root / "nginx.conf", "-p", root])
        try:
            engine = Engine(settings, Credentials())
            url = f"http://127.0.0.1:{PORT}/file"
            subprocess.run(["curl", "-fsS", "--retry", "20", "--retry-connrefused", "-o", os.devnull, url], check=True)
            origin = NginxOrigin(engine, url, size)
            wanted = Wanted("bench/file", size, f"sha256:{digest.hexdigest()}", (origin,))

            def curl() -> None:
                subprocess.run(["curl", "-fsS", "-o", root / "out", url], check=True)

            def fresh(use: Callable[[Reader], object]) -> Callable[[], None]:
                def run() -> None:
                    with Reader(Store.open(root / "store", settings), settings) as reader:
                        use(reader)

                return run

            def whole(reader: Reader) -> None:
                reader.whole(wanted).close()

            ways = {
                "curl": curl,
                "ensure": fresh(lambda reader: reader.ensure(wanted, Span(0, size))),
                "whole": fresh(whole),
                "save": fresh(lambda reader: reader.save(wanted, root / "out")),
            }
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(5):
                for name, way in ways.items():
                    start = time.perf_counter()
                    way()
                    taken[name].append(time.perf_counter() - start)
                    shutil.rmtree(root / "store", ignore_errors=True)
                    (root / "out").unlink(missing_ok=True)
            base = min(taken["curl"])
            for name, times in taken.items():
                least = min(times)
                print(f"{name:8} {least:6.2f} s  {size / least / 1e6:6.0f} MB/s  {least / base:5.2f} × curl")
        finally:
            nginx.terminate()
            nginx.wait()


if __name__ == "__main__":
    main((int(sys.argv[1]) if len(sys.argv) > 1 else 1024) << 20)
