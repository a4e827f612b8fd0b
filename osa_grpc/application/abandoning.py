"""Giving up to read a hook's rows: decoding gigabytes takes long, and a thread cannot be cancelled."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO, cast

from osa_grpc.application.ports import FeatureSource, HookOutputs
from osa_grpc.domain.failure import Failure


class AbandonedError(Exception):
    """Nobody waits for these rows any more."""


class AbandonableOutputs:
    """A hook's outputs whose rows and digest are read no further once `given_up` is set. Fills the port `HookOutputs`."""

    def __init__(self, outputs: HookOutputs, *, given_up: threading.Event) -> None:
        self._outputs = outputs
        self._given_up = given_up

    def rejection(self) -> str | None:
        """As it is."""
        return self._outputs.rejection()

    def error(self) -> Failure | None:
        """As it is."""
        return self._outputs.error()

    @contextmanager
    def features(self) -> Iterator[FeatureSource | None]:
        """Open the rows; reading them raises AbandonedError once given up."""
        with self._outputs.features() as source:
            if source is None:
                yield None
            else:
                stream = cast("BinaryIO", _AbandonableStream(source.stream, self._given_up))
                yield replace(source, stream=stream)

    def sha256(self) -> str:
        """As it is, unless given up before: then AbandonedError."""
        if self._given_up.is_set():
            raise AbandonedError
        return self._outputs.sha256()


class _AbandonableStream:
    """A file whose `read` raises once given up; all else is as it was."""

    def __init__(self, stream: BinaryIO, given_up: threading.Event) -> None:
        self._stream = stream
        self._given_up = given_up

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever it has
        return getattr(self._stream, name)

    def read(self, size: int = -1, /) -> bytes:
        if self._given_up.is_set():
            raise AbandonedError
        return self._stream.read(size)
