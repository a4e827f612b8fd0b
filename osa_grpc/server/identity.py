"""Who this server is: an id that stays with its data directory, and one for each process."""

import os
import socket
import uuid
from pathlib import Path

from osa_grpc.application.disk_room import is_out_of_room
from osa_grpc.application.storage_ports import WorkerId
from osa_grpc.server.cannot_start import CannotStartError


def server_id(data_directory: Path) -> str:
    """Return the id by which this server finds its own containers again; made at the first start in a data directory."""
    path = data_directory / "server-id"
    try:
        if not path.exists():
            scratch = path.with_suffix(".new")
            scratch.write_text(f"{uuid.uuid4()}\n")
            scratch.rename(path)
        return str(uuid.UUID(path.read_text().strip()))
    except (OSError, ValueError) as error:
        remedy = "Make room." if is_out_of_room(error) else "Restore it, or remove it."
        raise CannotStartError(f"The file {path} cannot be used: {error}. {remedy}") from error


def worker_id() -> WorkerId:
    """Return a name for this process's workers, unique among all that ever ran."""
    return WorkerId(f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
