"""Where a collection sends nothing over HTTPS: a task that brings one file into a folder of this machine, of which
another collection (Globus Connect Personal) knows. It goes from there into the store, and the folder is emptied."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from gotdata.context import Context
from gotdata.errors import GotdataError, PolicyError, SourceError, UpstreamChanged
from gotdata.paths import shown
from gotdata.report import Event
from gotdata.sources import globus_api as api
from gotdata.sources.api import naming, rows, words
from gotdata.sources.globus_place import Place, placed

PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Seconds between questions after a task; the last one again and again."""
DEADLINE = 7 * 86400.0
"""Seconds that a task may take: a file of some TB from a tape does not take a week."""
_FOR_GOOD = frozenset({"PERMISSION_DENIED", "FILE_NOT_FOUND", "PATH_NOT_FOUND", "NO_SPACE_LEFT", "QUOTA_EXCEEDED"})
"""Faults that Globus would try again for a day, and that don't pass."""


class _Landed(io.FileIO):
    """A file that was brought, whose folder goes when it is closed."""

    def close(self) -> None:
        if not self.closed:
            super().close()
            shutil.rmtree(Path(os.fsdecode(self.name)).parent, ignore_errors=True)


def local(place: Place, ctx: Context) -> tuple[Place, Path]:
    """The collection that writes into a folder of this machine, and that folder.

    Raises:
        SourceError: the settings name none; it says what to set.
    """
    named = ctx.settings.globus_endpoint
    found = placed(f"globus://{named.removeprefix('globus://')}")
    if found is None or not ctx.settings.globus_folder:
        raise SourceError(
            f"{place.text}: this collection sends nothing over HTTPS. With Globus Connect Personal running here, set "
            "globus_endpoint (the UUID of its collection) and globus_folder (a folder that it may write to): "
            "gotdata then has files brought there"
        )
    folder = Path(ctx.settings.globus_folder).expanduser()
    if not folder.is_dir():
        raise SourceError(f"globus_folder is {folder}, and there is no such folder")
    if not ctx.reach.path(folder):
        raise PolicyError(f"globus_folder is {folder}, which may not be read for others")
    there = found.path if "/" in named.removeprefix("globus://") else folder.resolve().as_posix()
    return Place(place.site, found.collection, there), folder


def brought(place: Place, path: str, size: int, ctx: Context) -> io.RawIOBase:
    """A file of a collection, whole, once it is here. Its folder is removed when the stream is closed.

    Raises:
        SourceError: the task failed; what it says of that is told.
    """
    endpoint, folder = local(place, ctx)
    work = Path(tempfile.mkdtemp(prefix="gotdata-", dir=folder))
    try:
        with naming("Globus"):
            target = f"{endpoint.path.rstrip('/')}/{work.name}/data"
            _wait(place, _submit(place, path, endpoint, target, ctx), path, ctx)
        landed = _Landed(work / "data")
    except FileNotFoundError as error:
        shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, GotdataError):
            raise
        raise SourceError(
            f"Globus brought {shown(path)}, and it is not in {work}: globus_endpoint names that folder by another "
            f"path than {endpoint.path}? UUID/PATH says by which"
        ) from error
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    if (came := os.fstat(landed.fileno()).st_size) != size:
        landed.close()
        raise UpstreamChanged(f"{place.text}: {shown(path)} has {came} bytes, and had {size}")
    return landed


def _submit(place: Place, path: str, endpoint: Place, target: str, ctx: Context) -> str:
    task: dict[str, Any] = {
        "DATA_TYPE": "transfer",
        "submission_id": words(api.ask(place, "submission_id", ctx), "value"),
        "label": "gotdata",
        "source_endpoint": place.collection,
        "destination_endpoint": endpoint.collection,
        "verify_checksum": True,
        "notify_on_succeeded": False,
        "DATA": [{"DATA_TYPE": "transfer_item", "source_path": path, "destination_path": target, "recursive": False}],
    }
    # Asked again after a failure it is still one task: that is what the submission's id is for.
    id = words(api.ask(place, "transfer", ctx, post=task), "task_id")
    if not re.fullmatch(r"[\w-]+", id):
        raise SourceError(f"{place.api}/transfer took the task and told no id of it")
    return id


def _wait(place: Place, id: str, path: str, ctx: Context) -> None:
    ctx.reporter(Event("step", text=f"Globus brings {shown(path)}: https://app.globus.org/activity/{id}"))
    asked, end = 0, time.monotonic() + DEADLINE
    try:
        while True:
            task = api.ask(place, f"task/{id}", ctx)
            status, nice = words(task, "status"), words(task, "nice_status")
            if status == "SUCCEEDED":
                return
            if status in ("FAILED", "INACTIVE") or nice in _FOR_GOOD or task.get("is_paused") is True:
                raise SourceError(
                    f"{place.api}/task/{id}: {shown(path)} was not brought: {_why(place, id, nice or status, ctx)}. "
                    f"See https://app.globus.org/activity/{id}"
                )
            if time.monotonic() >= end:
                raise SourceError(
                    f"{place.api}/task/{id}: {shown(path)} was not brought in {DEADLINE / 3600:.0f} hours, and the "
                    f"task is given up. See why at https://app.globus.org/activity/{id}"
                )
            time.sleep(PAUSES[min(asked, len(PAUSES) - 1)])
            asked += 1
    except BaseException:
        _cancel(place, id, ctx)
        raise


def _why(place: Place, id: str, status: str, ctx: Context) -> str:
    events = rows(api.ask(place, f"task/{id}/event_list?limit=10", ctx), "DATA")
    error = next((one for one in events if one.get("is_error") is True), {})
    said = words(error, "details") or words(error, "description")
    return f"{shown(status)} ({shown(said[:300])})" if said else shown(status)


def _cancel(place: Place, id: str, ctx: Context) -> None:
    """As far as that works: why it is done matters more."""
    try:
        api.ask(place, f"task/{id}/cancel", ctx, post={})
    except GotdataError as error:
        ctx.reporter(Event("warning", text=f"the task {id} of Globus goes on: {error}"))
