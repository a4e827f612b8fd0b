"""What a hook left behind: the output side of the container contract, both versions of it at once."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from osa_grpc.application.json_stream import preview
from osa_grpc.application.ports import FeatureSource
from osa_grpc.domain.errors import BadOutputError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.runtimes.untrusted import (
    LongLine,
    as_text,
    bad_output,
    json_object,
    lines_of,
    open_regular,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = structlog.get_logger(__name__)

PROGRESS: Final = "progress.jsonl"
_REJECTIONS: Final = "rejections.jsonl"
_ERRORS: Final = "errors.jsonl"
_FEATURE_FILES: Final = (("features.jsonl", "jsonl"), ("features.json", "json"))
_REJECTED: Final = b"rejected"
_MAX_SHOWN_ID: Final = 80
_MAX_REASON: Final = 4096
_NO_REASON: Final = "the hook gave no reason"
_NO_ERROR: Final = "the hook reported an error and said nothing about it"


@dataclass(frozen=True, kw_only=True)
class OutputBounds:
    """How much of a hook's output is read at all."""

    features_bytes: int = 10 * 2**30
    progress_bytes: int = 2**28
    report_bytes: int = 16 * 2**20
    """Of `rejections.jsonl` and `errors.jsonl`."""
    line_bytes: int = 2**20


class OutputDirectory:
    """An attempt's output directory, after its container has gone. Fills the port `HookOutputs`."""

    def __init__(
        self,
        *,
        directory: Path,
        subject_id: str,
        bounds: OutputBounds = OutputBounds(),
    ) -> None:
        self._directory = directory
        self._subject_id = subject_id
        self._bounds = bounds

    def rejection(self) -> str | None:
        """Return the reason if the hook rejected the subject (a text of ours when it gave none), else None.

        Raises:
            BadOutputError: one of the files cannot be read as what it should be.
        """
        reason = self._last_report(_REJECTIONS, "reason")
        if reason is None:
            reason = self._rejecting_progress()
        return reason if reason is None else reason.strip() or _NO_REASON

    def error(self) -> Failure | None:
        """Return what `errors.jsonl` says about the subject as a failure, or None. Raises BadOutputError."""
        entry = self._last_entry(_ERRORS)
        if entry is None:
            return None
        message = as_text(entry.get("error"), max_length=_MAX_REASON).strip() or _NO_ERROR
        return Failure(kind=FailureKind.HOOK_EXIT, message=message, retryable=entry.get("retryable") is True)

    @contextlib.contextmanager
    def features(self) -> Iterator[FeatureSource | None]:
        """Open the rows: `features.jsonl` wins over `features.json`; None if there is neither. Raises BadOutputError."""
        for name, form in _FEATURE_FILES:
            stream = open_regular(self._directory, name, max_bytes=self._bounds.features_bytes)
            if stream is not None:
                with stream:
                    yield FeatureSource(
                        file_name=name, form="jsonl" if form == "jsonl" else "json", stream=stream
                    )
                return
        yield None

    def sha256(self) -> str:
        """Return the SHA-256 over name, size and bytes of each file that is read, in hexadecimal."""
        digest = hashlib.sha256()
        for name in self._read_files():
            with contextlib.suppress(BadOutputError):  # then it is not read
                stream = open_regular(self._directory, name, max_bytes=self._bound_of(name))
                if stream is None:
                    continue
                with stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()
                    digest.update(f"{name}\0{stream.tell()}\0{content}\0".encode())
        return digest.hexdigest()

    def _read_files(self) -> Iterator[str]:
        with contextlib.suppress(BadOutputError), self.features() as source:
            if source is not None:
                yield source.file_name
        yield from (_REJECTIONS, _ERRORS, PROGRESS)

    def _bound_of(self, name: str) -> int:
        match name:
            case "rejections.jsonl" | "errors.jsonl":
                return self._bounds.report_bytes
            case "progress.jsonl":
                return self._bounds.progress_bytes
            case _:
                return self._bounds.features_bytes

    def _last_report(self, name: str, field: str) -> str | None:
        entry = self._last_entry(name)
        return None if entry is None else as_text(entry.get(field), max_length=_MAX_REASON)

    def _last_entry(self, name: str) -> dict[str, object] | None:
        """The last line; none may be about another subject, for what was meant for ours would be lost."""
        stream = open_regular(self._directory, name, max_bytes=self._bounds.report_bytes)
        if stream is None:
            return None
        last = None
        with stream:
            for number, line in lines_of(stream, max_bytes=self._bounds.line_bytes):
                entry = json_object(line)
                if entry is None:
                    found = (
                        f"a line of more than {self._bounds.line_bytes} bytes"
                        if isinstance(line, LongLine)
                        else preview(line)
                    )
                    raise bad_output(name, f"expected a JSON object, found {found}", line=number)
                if "id" not in entry:
                    raise bad_output(
                        name, "expected the id of the record, found nothing", line=number, field="id"
                    )
                if entry["id"] != self._subject_id:
                    found = as_text(entry["id"], max_length=_MAX_SHOWN_ID)
                    raise bad_output(
                        name, f"expected {self._subject_id}, found {found}", line=number, field="id"
                    )
                last = entry
        return last

    def _rejecting_progress(self) -> str | None:
        """The message of the last line with the status `rejected`; a line that is no object never fails a hook.

        One that is too long to be read does if it may be a rejection, because what was rejected must not be published.
        """
        stream = open_regular(self._directory, PROGRESS, max_bytes=self._bounds.progress_bytes)
        if stream is None:
            return None
        reason, unread = None, 0
        with stream:
            lines = lines_of(
                stream, max_bytes=self._bounds.line_bytes, word=_REJECTED, may_matter=_may_reject
            )
            for number, line in lines:
                if isinstance(line, LongLine):
                    unread = number if line.has_word else unread
                elif _may_reject(line):
                    entry = json_object(line)
                    if (
                        entry is not None
                        and str(entry.get("status")).encode(errors="replace").lower() == _REJECTED
                    ):
                        reason = as_text(entry.get("message"), max_length=_MAX_REASON)
        if reason is None and unread:
            message = (
                f"expected a line of at most {self._bounds.line_bytes} bytes, "
                "found a longer one that may be a rejection"
            )
            raise bad_output(PROGRESS, message, line=unread)
        return reason


def _may_reject(text: bytes) -> bool:
    """Whether it is worth the work of decoding."""
    # An escaped letter could spell the word otherwise.
    return _REJECTED in text.lower() or b"\\u" in text
