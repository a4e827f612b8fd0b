"""What a container finds, as it lies on our disk."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.domain.errors import ResourceExhaustedError
from osa_grpc.runtimes.staging import attempt_directory, container_user, integral, remove_tree, stage
from tests.fixtures.folders import nest
from tests.fixtures.hooks import FolderFiles, hook_job

if TYPE_CHECKING:
    from osa_grpc.application.ports import HookJob

DIGEST = "sha256:" + "0" * 64


def a_job(files: FolderFiles, **changes: Any) -> HookJob:
    entry = files.add("entry.cif", b"data_")
    return hook_job(DIGEST, files=[entry], **({"metadata": {"n": 2.0}, "config": {"a": 1}} | changes))


async def test_an_attempt_starts_with_fresh_directories_of_its_own(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "files")
    job = a_job(files)
    first = await stage(job, files=files, work_directory=tmp_path / "work")
    (first.output_directory / "left").write_text("x")
    again = await stage(job, files=files, work_directory=tmp_path / "work")
    assert again.output_directory == first.output_directory
    assert list(again.output_directory.iterdir()) == []


async def test_inputs_for_which_there_is_no_room_are_not_put_there(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "files")
    with pytest.raises(ResourceExhaustedError, match=f"The disk of {tmp_path}/work has") as full:
        await stage(a_job(files), files=files, work_directory=tmp_path / "work", reserve_bytes=2**60)
    assert full.value.reason == "DISK_FULL"
    assert not (tmp_path / "work").exists()


async def test_only_the_output_is_the_containers_and_nobody_else_may_look(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "files")
    job = a_job(files)
    previous = os.umask(0o077)
    try:
        staged = await stage(job, files=files, work_directory=tmp_path / "work")
    finally:
        os.umask(previous)
    root = attempt_directory(tmp_path / "work", job)
    modes = {
        str(path.relative_to(root)): oct(path.stat().st_mode & 0o777) for path in (root, *root.rglob("*"))
    }
    assert modes.pop(".") == "0o700"
    assert modes.pop("out") == "0o700"
    assert modes.pop("files/d1/entry.cif") == "0o444"
    assert set(modes.values()) == {"0o755", "0o444"}
    assert root.parent.stat().st_mode & 0o777 == 0o700
    output = staged.output_directory.stat()
    assert (output.st_uid, output.st_gid) == container_user()
    assert [mount.target for mount in staged.mounts if mount.writable] == ["/osa/out"]


async def test_equal_inputs_have_equal_digests_and_others_have_others(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "files")

    async def digests(**changes: Any) -> tuple[str, str]:
        staged = await stage(a_job(files, **changes), files=files, work_directory=tmp_path / "work")
        return staged.config_sha256, staged.input_sha256

    same = await digests()
    assert await digests(metadata={"n": 2}) == same
    assert (await digests(metadata={"n": 3}))[1] != same[1]
    assert (await digests(config={"a": 2}))[0] != same[0]
    assert (await digests(config={}))[0] == ""


def test_what_a_container_has_closed_can_be_removed(tmp_path: Path) -> None:
    inner = tmp_path / "run" / "out" / "closed" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    (tmp_path / "run" / "out" / "away").symlink_to("/etc")
    inner.chmod(0)
    inner.parent.chmod(0)
    remove_tree(tmp_path / "run")
    remove_tree(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    assert Path("/etc/passwd").exists()


def test_what_a_container_has_nested_without_end_can_be_removed(tmp_path: Path) -> None:
    out = tmp_path / "run" / "out"
    out.mkdir(parents=True)
    nest(out, levels=2500)
    remove_tree(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (2.0, "2"),
        (-0.5, "-0.5"),
        (1e300, "1e+300"),
        (2.0**53, "9007199254740992"),
        (True, "true"),
        ([1.0], "[1]"),
    ],
)
def test_a_whole_number_is_written_as_an_integer(value: object, written: str) -> None:
    assert json.dumps(integral(value)) == written


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_writing_numbers_as_integers_changes_no_value(value: object) -> None:
    assert json.loads(json.dumps(integral(value))) == value
