"""What a hook left behind is read as what anybody may have put there."""

from __future__ import annotations

import os
import shutil
import socket
from io import BufferedReader, BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.application.disk_room import DiskRoom
from osa_grpc.domain.errors import BadOutputError
from osa_grpc.domain.failure import FailureKind
from osa_grpc.runtimes import untrusted
from osa_grpc.runtimes.output_quota import OutputQuota
from osa_grpc.runtimes.outputs import OutputBounds, OutputDirectory
from osa_grpc.runtimes.staging import remove_tree
from tests.fixtures.folders import nest

SMALL = OutputBounds(features_bytes=1000, progress_bytes=4000, report_bytes=1000, line_bytes=200)
DEEP = b"[" * 150


def outputs(folder: Path, **files: bytes) -> OutputDirectory:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_bytes(content)
    return OutputDirectory(directory=folder, subject_id="d1", bounds=SMALL)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, None),
        ({"rejections__jsonl": b""}, None),
        ({"rejections__jsonl": b'{"id":"d1","reason":"a"}\n\n{"id":"d1","reason":"last"}'}, "last"),
        ({"rejections__jsonl": b'{"id":"d1"}'}, "the hook gave no reason"),
        ({"rejections__jsonl": b'{"id":"d1","reason":null}'}, "the hook gave no reason"),
        ({"rejections__jsonl": b'{"id":"d1","reason":{"code":7}}'}, '{"code":7}'),
        ({"rejections__jsonl": b'{"id":"d1","reason":"a\\u0000b"}'}, "a\N{REPLACEMENT CHARACTER}b"),
        ({"progress__jsonl": b'{"status":"rejected","message":"m"}\n{"status":"done"}\n'}, "m"),
        ({"progress__jsonl": b'{"status":"Rejected","message":"m"}\n'}, "m"),
        (
            {"progress__jsonl": b'{"status":"rejected","message":"m"}\n{"status":"rejected"}'},
            "the hook gave no reason",
        ),
        ({"progress__jsonl": b'{"status":"r\\u0065jected","message":"m"}'}, "m"),
        ({"progress__jsonl": b'rejected\n["rejected"]\n' + DEEP + b'rejected\n{"status":"ok"}'}, None),
        ({"progress__jsonl": b'{"message":"' + b"x" * 300 + b'"}\n{"status":"rejected","message":"m"}'}, "m"),
        (
            {"progress__jsonl": b'{"status":"rejected","message":"a\\ud800b","score":NaN}'},
            "a\N{REPLACEMENT CHARACTER}b",
        ),
        (
            {"progress__jsonl": b'{"status":"rejected","message":"caf\xe9\tau lait"}'},
            "caf\N{REPLACEMENT CHARACTER}\tau lait",
        ),
        ({"progress__jsonl": b'\xef\xbb\xbf{"status":"rejected","message":"m"}'}, "m"),
        (
            {"rejections__jsonl": b'{"id":"d1","reason":{"a":"\\ud800","b":[NaN]}}'},
            '{"a":"\N{REPLACEMENT CHARACTER}","b":[NaN]}',
        ),
        (
            {
                "progress__jsonl": b'{"status":"rejected","message":"m"}',
                "rejections__jsonl": b'{"id":"d1","reason":"a"}',
            },
            "a",
        ),
    ],
)
def test_a_rejection_is_found_in_either_file(
    tmp_path: Path, files: dict[str, bytes], reason: str | None
) -> None:
    assert outputs(tmp_path, **files).rejection() == reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nonsense\n", "rejections.jsonl line 1: expected a JSON object"),
        (b'{"id":"d1"}\n[1]\n', "rejections.jsonl line 2: expected a JSON object"),
        (b'{"reason":"a"}\n', "rejections.jsonl line 1, field id: expected the id"),
        (b'{"id":"d1"}\n{"id":"d2"}\n', "rejections.jsonl line 2, field id: expected d1, found d2"),
        (b'{"id":[1]}\n', "rejections.jsonl line 1, field id: expected d1, found [1]"),
        (DEEP, "rejections.jsonl line 1: expected a JSON object"),
        (b"\xff\xfe{}", "rejections.jsonl line 1: expected a JSON object"),
        (
            b'{"id":"' + b"x" * 300,
            "rejections.jsonl line 1: expected a JSON object, found a line of more than 200 bytes",
        ),
        (b" " * 1001, "rejections.jsonl: it has 1001 bytes, at most 1000 are read"),
    ],
)
def test_a_report_that_cannot_be_read_is_bad_output(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(BadOutputError) as caught:
        outputs(tmp_path, rejections__jsonl=content).rejection()
    assert str(caught.value).startswith(message)


@given(
    st.lists(
        st.sampled_from([b"{}", b"", b" ", b"x" * 30, b"word", b"x" * 60 + b"Word", b"\n"]), max_size=40
    ),
    st.integers(1, 50),
)
def test_lines_that_do_not_matter_are_passed_over_and_counted(pieces: list[bytes], read_bytes: int) -> None:
    text = b"\n".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(untrusted, "_READ_BYTES", read_bytes)
        every, wanted = (
            [
                (number, line)
                for number, line in untrusted.lines_of(
                    BufferedReader(BytesIO(text)), max_bytes=40, word=b"word", may_matter=may_matter
                )
                if isinstance(line, untrusted.LongLine) or b"word" in line
            ]
            for may_matter in (lambda _: True, lambda data: b"word" in data.lower())
        )
    assert wanted == every


@pytest.mark.parametrize("cut", [0, 1, 4, 8])
def test_a_line_that_is_too_long_to_read_and_may_be_a_rejection_is_bad_output(
    tmp_path: Path, cut: int
) -> None:
    line = b" " * (2**16 - cut) + b'Rejected" ' + b" " * 2**17
    (tmp_path / "progress.jsonl").write_bytes(b'{"status":"begun"}\n' + line + b"\n{}")
    left = OutputDirectory(directory=tmp_path, subject_id="d1", bounds=OutputBounds(line_bytes=200))
    with pytest.raises(BadOutputError) as caught:
        left.rejection()
    assert str(caught.value) == (
        "progress.jsonl line 2: expected a line of at most 200 bytes, found a longer one that may be a rejection"
    )
    (tmp_path / "progress.jsonl").write_bytes(line.replace(b"Rej", b"Sel"))
    assert left.rejection() is None


def test_an_error_is_the_hooks_own_and_says_whether_another_time_may_do(tmp_path: Path) -> None:
    failure = outputs(tmp_path, errors__jsonl=b'{"id":"d1","error":"no","retryable":true}').error()
    assert failure is not None
    assert (failure.kind, failure.message, failure.retryable) == (FailureKind.HOOK_EXIT, "no", True)
    with pytest.raises(BadOutputError, match=r"errors.jsonl line 1, field id: expected d1, found d2"):
        outputs(tmp_path, errors__jsonl=b'{"id":"d2","error":"no"}').error()
    silent = outputs(tmp_path, errors__jsonl=b'{"id":"d1","retryable":"yes"}').error()
    assert silent is not None
    assert "said nothing" in silent.message
    assert not silent.retryable


def test_rows_as_lines_win_over_rows_as_a_document(tmp_path: Path) -> None:
    with outputs(tmp_path).features() as source:
        assert source is None
    with outputs(tmp_path, features__json=b"[]").features() as source:
        assert source is not None
        assert (source.file_name, source.form, source.stream.read()) == ("features.json", "json", b"[]")
    with outputs(tmp_path, features__jsonl=b"{}\n").features() as source:
        assert source is not None
        assert (source.file_name, source.form, source.stream.read()) == ("features.jsonl", "jsonl", b"{}\n")


def test_rows_that_are_too_many_are_not_read(tmp_path: Path) -> None:
    left = outputs(tmp_path, features__json=b" " * 1001)
    with pytest.raises(BadOutputError, match="1001 bytes"), left.features():
        pass


@pytest.mark.parametrize(
    "name", ["features.json", "features.jsonl", "rejections.jsonl", "errors.jsonl", "progress.jsonl"]
)
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder", "socket", "device"])
def test_only_regular_files_are_read(tmp_path: Path, name: str, kind: str) -> None:
    place = tmp_path / name
    match kind:
        case "link":
            place.symlink_to("/etc/passwd")
        case "dangling link":
            place.symlink_to("/nowhere")
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
        case "socket":
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(place))
        case _:
            if os.geteuid() != 0:
                pytest.skip("only root makes devices")
            os.mknod(place, 0o020666, os.makedev(1, 5))  # /dev/zero
    left = outputs(tmp_path)

    def read_everything() -> None:
        left.rejection()
        left.error()
        with left.features():
            pass

    with pytest.raises(BadOutputError, match=f"^{name}: expected a regular file"):
        read_everything()
    assert len(left.sha256()) == 64


def test_the_output_folder_itself_is_never_a_link(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/etc")
    left = OutputDirectory(directory=tmp_path / "out", subject_id="d1")
    with pytest.raises(NotADirectoryError):
        left.rejection()


def test_json_of_any_depth_is_no_trouble(tmp_path: Path) -> None:
    for name in ("progress.jsonl", "rejections.jsonl"):
        (tmp_path / name).write_bytes(b'{"rejected":' * 50_000)
    left = OutputDirectory(directory=tmp_path, subject_id="d1")
    with pytest.raises(BadOutputError, match=r"rejections\.jsonl line 1"):
        left.rejection()
    (tmp_path / "rejections.jsonl").unlink()
    assert left.rejection() is None


def test_the_digest_covers_what_is_read_and_nothing_else(tmp_path: Path) -> None:
    first = outputs(tmp_path, features__json=b"[]").sha256()
    assert outputs(tmp_path, notes__txt=b"x").sha256() == first
    assert outputs(tmp_path, features__json=b"[1]").sha256() != first
    (tmp_path / "features.json").rename(tmp_path / "errors.jsonl")
    assert outputs(tmp_path, errors__jsonl=b"[]").sha256() != first


def quota(
    directory: Path, *, max_bytes: int = 2**30, max_files: int = 100_000, reserve: int = 0
) -> OutputQuota:
    room = DiskRoom(directory=directory, reserve_bytes=reserve)
    return OutputQuota(directory=directory, room=room, max_bytes=max_bytes, max_files=max_files)


async def test_a_folder_that_takes_too_much_is_told(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "big").write_bytes(os.urandom(100_000))
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 10**12)
    (tmp_path / "away").symlink_to("/")
    assert await quota(tmp_path, max_bytes=200_000, max_files=10).check() is None
    by_bytes = await quota(tmp_path, max_bytes=50_000, max_files=10).check()
    assert by_bytes is not None
    assert by_bytes.kind is FailureKind.BAD_OUTPUT
    assert "50000 bytes" in by_bytes.message
    by_files = await quota(tmp_path, max_bytes=200_000, max_files=3).check()
    assert by_files is not None
    assert by_files.kind is FailureKind.BAD_OUTPUT
    assert "3 files" in by_files.message


async def test_where_no_room_is_left_only_a_hook_that_took_some_is_ended(tmp_path: Path) -> None:
    nearly_full = quota(tmp_path, reserve=shutil.disk_usage(tmp_path).free * 3 // 2)
    (tmp_path / "small").write_bytes(b"x")
    assert await nearly_full.check() is None
    (tmp_path / "large").write_bytes(os.urandom(2**21))
    ended = await nearly_full.check()
    assert ended is not None
    assert (ended.kind, ended.retryable) == (FailureKind.ENGINE, True)
    assert f"The disk of {tmp_path} has" in ended.message
    assert await quota(tmp_path).check() is None


async def test_where_the_reserve_is_used_too_every_hook_is_ended(tmp_path: Path) -> None:
    ended = await quota(tmp_path, reserve=2**60).check()
    assert ended is not None
    assert (ended.kind, ended.retryable) == (FailureKind.ENGINE, True)


async def test_a_hook_that_failed_where_no_room_is_left_is_tried_again(tmp_path: Path) -> None:
    nearly_full = shutil.disk_usage(tmp_path).free * 3 // 2
    failed = await quota(tmp_path, reserve=nearly_full).room_lost(exit_code=1)
    assert failed is not None
    assert (failed.kind, failed.retryable) == (FailureKind.ENGINE, True)
    assert await quota(tmp_path, reserve=nearly_full).room_lost(exit_code=0) is None
    assert await quota(tmp_path).room_lost(exit_code=1) is None


async def test_a_hook_that_ends_well_and_takes_the_last_room_has_lost_it(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(2**21))
    lost = await quota(tmp_path, reserve=shutil.disk_usage(tmp_path).free * 3 // 2).room_lost(exit_code=0)
    assert lost is not None
    assert (lost.kind, lost.retryable) == (FailureKind.ENGINE, True)


async def test_what_nests_without_end_exceeds_the_quota_and_is_not_gone_into(tmp_path: Path) -> None:
    nest(tmp_path, levels=2500)
    excess = await quota(tmp_path).check()
    remove_tree(tmp_path)
    assert excess is not None
    assert "deeper than the 64 directories" in excess.message
