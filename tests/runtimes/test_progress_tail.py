"""Progress is read once, as it is written, whatever is written."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from osa_grpc.domain.run import HookProgress
from osa_grpc.runtimes import progress_tail
from osa_grpc.runtimes.progress_tail import ProgressTail


class Following:
    """A tail at work on a folder."""

    def __init__(self, folder: Path, *, max_bytes: int = 2**28) -> None:
        self.file = folder / "progress.jsonl"
        self.seen: list[HookProgress] = []
        self.batches: list[int] = []
        self._news = asyncio.Condition()
        self._ended = asyncio.Event()
        tail = ProgressTail(directory=folder, max_bytes=max_bytes)
        self._task = asyncio.create_task(tail.follow(self._take, ended=self._ended))

    async def _take(self, lines: Sequence[HookProgress]) -> None:
        async with self._news:
            self.seen += lines
            self.batches.append(len(lines))
            self._news.notify_all()

    def append(self, text: str) -> None:
        with self.file.open("a") as stream:
            stream.write(text)

    async def until_seen(self, *statuses: str) -> None:
        async with asyncio.timeout(10), self._news:
            await self._news.wait_for(lambda: [line.status for line in self.seen] == list(statuses))

    async def end(self) -> list[HookProgress]:
        self._ended.set()
        await self._task
        return self.seen


def line(status: str) -> str:
    return f'{{"status":"{status}"}}\n'


async def test_a_line_counts_once_its_newline_is_there(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.append(line("a") + '{"status":')
    await following.until_seen("a")
    following.append('"b"}\n')
    await following.until_seen("a", "b")
    assert await following.end() == [HookProgress(status="a"), HookProgress(status="b")]


async def test_the_last_line_counts_at_the_end_without_a_newline(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.append(line("a") + '{"status":"b"}')
    assert [seen.status for seen in await following.end()] == ["a", "b"]


async def test_a_hook_without_progress_has_none(tmp_path: Path) -> None:
    assert await Following(tmp_path).end() == []


async def test_a_file_that_is_cut_or_replaced_is_read_from_its_beginning(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.append(line("first, rather long"))
    await following.until_seen("first, rather long")
    following.file.write_text(line("cut"))
    await following.until_seen("first, rather long", "cut")
    replacement = tmp_path / "new"
    replacement.write_text(line("new, longer than the one before"))
    replacement.rename(following.file)
    await following.until_seen("first, rather long", "cut", "new, longer than the one before")
    await following.end()


async def test_lines_that_are_no_objects_or_too_long_are_ignored_with_one_warning(tmp_path: Path) -> None:
    with capture_logs() as logs:
        following = Following(tmp_path)
        following.append("nonsense\n[1]\n" + "[" * 5000 + "\n\n")
        following.append('{"status":"' + "x" * 100_000 + '"}\n' + line("good"))
        assert [seen.status for seen in await following.end()] == ["good"]
    assert [entry["log_level"] for entry in logs] == ["warning"]


async def test_texts_are_cut_and_what_is_no_text_is_shown_as_json(tmp_path: Path) -> None:
    following = Following(tmp_path)
    following.append(
        '{"step":3,"status":"' + "s" * 300 + '","message":"' + "m" * 5000 + '"}\n{"message":{"a":[1]}}\n'
    )
    cut, shown = await following.end()
    assert (cut.step, len(cut.status), len(cut.message)) == ("3", 256, 4096)
    assert shown == HookProgress(message='{"a":[1]}')


async def test_a_million_bytes_come_in_batches(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text("".join(line(f"{n:06}") for n in range(50_000)))
    following = Following(tmp_path)
    seen = await following.end()
    assert [int(one.status) for one in seen] == list(range(50_000))
    assert max(following.batches) < 3000


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero"])
async def test_a_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "progress.jsonl").symlink_to(target)
    with capture_logs() as logs:
        assert await Following(tmp_path).end() == []
    assert "regular file" in logs[0]["reason"]


async def test_a_hole_of_terabytes_is_not_read(tmp_path: Path) -> None:
    following = Following(tmp_path, max_bytes=1000)
    following.append(line("a"))
    await following.until_seen("a")
    os.truncate(following.file, 2**40)
    with capture_logs() as logs:
        async with asyncio.timeout(10):
            assert await following.end() == [HookProgress(status="a")]
    assert [entry["reason"] for entry in logs] == [f"it has {2**40} bytes, at most 1000 are read"]


@pytest.mark.parametrize("has_ended_before", [True, False])
async def test_what_is_left_at_the_end_is_read_for_a_while_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, has_ended_before: bool
) -> None:
    monkeypatch.setattr(progress_tail, "_AFTER_END_SECONDS", 0.0)
    (tmp_path / "progress.jsonl").write_text(line("a") * 100_000)
    ended = asyncio.Event()
    if has_ended_before:
        ended.set()
    seen: list[HookProgress] = []

    async def take(lines: Sequence[HookProgress]) -> None:
        seen.extend(lines)
        ended.set()

    with capture_logs() as logs:
        await ProgressTail(directory=tmp_path, max_bytes=2**28).follow(take, ended=ended)
    assert 0 < len(seen) < 100_000
    assert len(logs) == 1


async def test_tiny_lines_without_end_leave_the_event_loop_to_others(tmp_path: Path) -> None:
    (tmp_path / "progress.jsonl").write_text("{}\n" * 100_000)
    ended, enough = asyncio.Event(), asyncio.Event()
    batches = beats = 0

    async def take(_: Sequence[HookProgress]) -> None:
        nonlocal batches
        batches += 1
        if batches == 8:
            enough.set()

    async def beat() -> None:
        nonlocal beats
        while not enough.is_set():
            await asyncio.sleep(0.001)
            beats += 1

    tail = ProgressTail(directory=tmp_path, max_bytes=2**28)
    following = asyncio.create_task(tail.follow(take, ended=ended))
    await beat()
    ended.set()
    await following
    assert beats > 3 * 8
