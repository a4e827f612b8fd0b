import os
import subprocess
import sys
from pathlib import Path

import pytest

from osa_grpc.server.cannot_start import CannotStartError
from osa_grpc.server.directory_lock import DirectoryLock

HOLDER = """
import sys, time
from pathlib import Path
from osa_grpc.server.directory_lock import DirectoryLock

with DirectoryLock(directory=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(directory: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_server_is_refused_and_told_who_holds_the_directory(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        with pytest.raises(CannotStartError, match=f"{tmp_path} is in use by process {other.pid} on"):
            DirectoryLock(directory=tmp_path).acquire()
        other.communicate()


def test_a_refused_server_does_not_disturb_the_holder(tmp_path: Path) -> None:
    lock = DirectoryLock(directory=tmp_path)
    with lock:
        for _ in range(2):
            with pytest.raises(CannotStartError, match="in use"):
                DirectoryLock(directory=tmp_path).acquire()


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as other:
        other.kill()
        other.communicate()
    with DirectoryLock(directory=tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / "lock").read_text()


def test_a_released_directory_is_free_and_names_nobody(tmp_path: Path) -> None:
    lock = DirectoryLock(directory=tmp_path)
    with lock:
        pass
    lock.release()
    assert (tmp_path / "lock").read_text() == ""
    with DirectoryLock(directory=tmp_path):
        pass


def test_missing_directories_are_made_so_that_others_may_pass_but_not_look(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        with DirectoryLock(directory=tmp_path / "a" / "b"):
            pass
    finally:
        os.umask(umask)
    for directory in (tmp_path / "a", tmp_path / "a" / "b"):
        assert directory.stat().st_mode & 0o777 == 0o711


def test_an_existing_directory_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    with DirectoryLock(directory=tmp_path):
        assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CannotStartError, match=f"{tmp_path}/file/data cannot be used: Not a directory"):
        DirectoryLock(directory=tmp_path / "file" / "data").acquire()
