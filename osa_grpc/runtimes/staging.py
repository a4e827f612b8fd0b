"""What a hook's container finds: the input side of the container contract, both versions of it at once.

Each attempt has a fresh directory `<work directory>/<run>/<execution>-<attempt>/`, with `in`, `files` and `out`. Nothing
but what is inside the mounts is open to the container's user.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from osa_grpc.application.disk_room import DiskRoom, is_out_of_room
from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.runtimes.engine import Mount
from osa_grpc.runtimes.finishing import finish

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from osa_grpc.application.ports import FileStore, HookJob
    from osa_grpc.domain.names import RunId

NOBODY: Final = (65534, 65534)
_WHOLE_NUMBERS: Final = 2**53  # up to here a double holds every integer
_MEGABYTE: Final = 10**6


@dataclass(frozen=True, kw_only=True)
class StagedInput:
    """An attempt's directories, filled, and what they hold."""

    mounts: Sequence[Mount]
    environment: Mapping[str, str]
    output_directory: Path
    config_sha256: str
    """Of `config.json`; empty when the hook has none."""
    input_sha256: str


def container_user() -> tuple[int, int]:
    """User and group of the program in a container: nobody, or ourselves when we may not read and remove others' files."""
    return NOBODY if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def run_directory(work_directory: Path, run: RunId) -> Path:
    """Return the directory of all attempts of a run."""
    return work_directory / run


def attempt_directory(work_directory: Path, job: HookJob) -> Path:
    """Return the directory of one attempt."""
    return run_directory(work_directory, job.run) / f"{job.execution}-{job.attempt}"


def output_directory(work_directory: Path, job: HookJob) -> Path:
    """Return the directory that an attempt's container writes to."""
    return attempt_directory(work_directory, job) / "out"


def log_mark_path(work_directory: Path, job: HookJob) -> Path:
    """Return the file that says how far an attempt's log was taken. The container does not see it."""
    return attempt_directory(work_directory, job) / "log-mark"


async def stage(
    job: HookJob, *, files: FileStore, work_directory: Path, reserve_bytes: int = 0
) -> StagedInput:
    """Make the attempt's directories anew and put the inputs there, leaving `reserve_bytes` of the disk free.

    Raises:
        ResourceExhaustedError: the disk is full (`DISK_FULL`).
        OSError: it is not ours to write to.
    """
    root = attempt_directory(work_directory, job)
    room = DiskRoom(directory=work_directory, reserve_bytes=reserve_bytes)
    await finish(asyncio.to_thread(_remove_earlier, root, job), name="remove earlier attempts")
    room.demand(sum(file.size_bytes for file in job.subject.files))
    try:
        # To its end, because whoever cancels us removes the directories next.
        writing = asyncio.to_thread(_write_directories, root, job)
        config_sha256 = await finish(writing, name="write input directories")
        for file in job.subject.files:
            path = root / "files" / job.subject.id / file.file_name
            await files.fetch_to(file.key, path)
            path.chmod(0o444)
    except ResourceExhaustedError as error:
        raise room.full() from error
    except OSError as error:
        if is_out_of_room(error):
            raise room.full() from error
        raise
    return StagedInput(
        mounts=(
            Mount(source=root / "in", target="/osa/in"),
            Mount(source=root / "files" / job.subject.id, target="/osa/in/files"),
            Mount(source=root / "files", target="/osa/files"),
            Mount(source=root / "out", target="/osa/out", writable=True),
        ),
        environment={
            "OSA_IN": "/osa/in",
            "OSA_OUT": "/osa/out",
            "OSA_FILES": "/osa/files",
            "OSA_HOOK_NAME": job.hook.name,
        },
        output_directory=root / "out",
        config_sha256=config_sha256,
        input_sha256=_input_sha256(job),
    )


def remove_tree(path: Path) -> None:
    """Remove a directory with all that a container may have left in it; nothing happens if it is not there."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):
        # Directories that a container, running as ourselves, has closed; or has nested deeper than we can go down.
        _remove_level_by_level(path)


def _remove_level_by_level(path: Path) -> None:
    """Remove a directory without going down: what its directories hold is moved up, until there are none."""
    path.chmod(0o700)
    while folders := _without_files(path):
        for folder in folders:
            for inner in _without_files(folder):
                inner.rename(path / uuid.uuid4().hex)
            folder.rmdir()
    path.rmdir()


def _without_files(path: Path) -> Sequence[Path]:
    """Remove what is no directory, and return the directories, opened."""
    folders = []
    for inner in list(path.iterdir()):
        if inner.is_symlink() or not inner.is_dir():
            inner.unlink()
        else:
            inner.chmod(0o700)
            folders.append(inner)
    return folders


def integral(value: object) -> object:
    """Return the JSON value with every number that is whole as an integer: 2.0, as protobuf has all numbers, becomes 2."""
    match value:
        case float() if value.is_integer() and abs(value) <= _WHOLE_NUMBERS:
            return int(value)
        case dict():
            return {key: integral(inner) for key, inner in value.items()}
        case list() | tuple():
            return [integral(inner) for inner in value]
        case _:
            return value


def _remove_earlier(root: Path, job: HookJob) -> None:
    """Remove what earlier attempts have left: it is no use, and may be the very room that is wanted."""
    for earlier in root.parent.glob(f"{job.execution}-*"):
        remove_tree(earlier)


def _write_directories(root: Path, job: HookJob) -> str:
    """Write all but the subject's files; the SHA-256 of `config.json`."""
    root.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    root.mkdir(mode=0o700)
    for folder in (root / "in", root / "in" / "files", root / "files", root / "files" / job.subject.id):
        folder.mkdir()
        folder.chmod(0o755)  # whatever our umask is
    subject = job.subject
    record = {"srn": subject.srn, "metadata": subject.metadata}
    size_bytes = sum(file.size_bytes for file in subject.files)
    line = {"id": subject.id, "metadata": subject.metadata, "size_hint_mb": size_bytes / _MEGABYTE}
    _write(root / "in" / "record.json", _json(record))
    _write(root / "in" / "records.jsonl", _json(line) + b"\n")
    config_sha256 = ""
    if job.hook.runtime.config:
        config = _json(job.hook.runtime.config)
        config_sha256 = hashlib.sha256(config).hexdigest()
        _write(root / "in" / "config.json", config)
    out = root / "out"
    out.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(out, *container_user())
    return config_sha256


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o444)


def _input_sha256(job: HookJob) -> str:
    files: Iterable[list[str]] = sorted([file.file_name, file.sha256] for file in job.subject.files)
    return hashlib.sha256(_json({"metadata": job.subject.metadata, "files": list(files)})).hexdigest()


def _json(value: object) -> bytes:
    """One line; equal values give equal bytes."""
    text = json.dumps(
        integral(value), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
    return text.encode()
