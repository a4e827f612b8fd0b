"""The blocking client, for notebooks and scripts."""

import contextlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import grpc

from osa_grpc.client import calls, delivery_calls, hook_calls
from osa_grpc.client.backoff import Backoff
from osa_grpc.client.blocking_sender import BlockingSender
from osa_grpc.client.channel import DEFAULT_TARGET, open_blocking_channel
from osa_grpc.client.convention_watch import ConventionWatch
from osa_grpc.client.file_download import FileDownload
from osa_grpc.client.log_reading import LogPiece, LogReading, latest_attempt, run_of
from osa_grpc.client.part_file import PartFile
from osa_grpc.client.resumption import Interruption, ignore
from osa_grpc.client.rows import QueryPage, RowValue
from osa_grpc.client.run_watch import RunWatch
from osa_grpc.client.uploading import Progress, UploadSource, plan_upload
from osa_grpc.wire import pb


class BlockingClient:
    """The same client as `Client`, method by method, for code without an event loop: iterators instead of async ones.

    Use it as a context manager. It may be used from several threads at once. What is said of errors, retries and
    request ids at `Client` holds here.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        tls: bool = False,
        ca_certificate: Path | None = None,
        timeout_seconds: float | None = 30.0,
        channel: grpc.Channel | None = None,
        backoff: Backoff | None = None,
        patience_seconds: float = 300.0,
    ) -> None:
        """Set up a client; nothing is sent yet.

        Args:
            target: the server, `host:port`.
            tls: whether the server speaks TLS.
            ca_certificate: a file with the certificates (PEM) of the authorities to trust, and no others; implies `tls`.
                Without it those that come with grpc are trusted.
            timeout_seconds: the deadline of a call that is neither a stream nor an upload; None: none.
            channel: a channel to use instead of a new one; it is yours to close.
            backoff: how long to wait between attempts.
            patience_seconds: how long a stream that was cut tries to go on before its error is raised.
        """
        self._owns_channel = channel is None
        self._channel = (
            open_blocking_channel(target, tls=tls, ca_certificate=ca_certificate)
            if channel is None
            else channel
        )
        self._backoff = backoff or Backoff()
        self._patience_seconds = patience_seconds
        self._sender = BlockingSender(
            channel=self._channel,
            timeout_seconds=timeout_seconds,
            backoff=self._backoff,
            patience_seconds=patience_seconds,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; what is under way is cancelled."""
        if self._owns_channel:
            self._channel.close()

    def with_timeout(self, seconds: float | None) -> Self:
        """Return a client over the same channel with another deadline for its calls."""
        return type(self)(
            timeout_seconds=seconds,
            channel=self._channel,
            backoff=self._backoff,
            patience_seconds=self._patience_seconds,
        )

    def server_info(self) -> pb.ServerInfo:
        """Return what the server is and can do."""
        return self._sender.send(calls.get_server_info())

    def register_convention(
        self,
        convention_id: str,
        convention: pb.Convention,
        *,
        validate_only: bool = False,
        request_id: str | None = None,
    ) -> pb.Convention:
        """Register a convention; it is PENDING at first, see `watch_convention` and `wait_until_ready`."""
        return self._sender.send(
            calls.register_convention(
                convention_id, convention, validate_only=validate_only, request_id=request_id
            )
        )

    def get_convention(self, name: str) -> pb.Convention:
        """Return a convention."""
        return self._sender.send(calls.get_convention(name))

    def list_conventions(self, *, page_size: int = 0) -> Iterator[pb.Convention]:
        """Yield all conventions, the newest first."""
        return self._sender.list(calls.list_conventions(page_size=page_size))

    def watch_convention(
        self, name: str, *, on_interruption: Callable[[Interruption], None] = ignore
    ) -> Iterator[pb.Convention]:
        """Yield the convention as it is, and again after each change, until it is READY or FAILED."""
        watch = ConventionWatch(name=name, resumption=self._sender.resumption(on_interruption))
        return self._sender.resume(watch, self._sender.stubs.conventions.WatchConvention)

    def wait_until_ready(self, name: str) -> pb.Convention:
        """Return the convention once it is READY or FAILED; look at its `state`."""
        states = list(self.watch_convention(name))
        return states[-1]

    def create_deposition(
        self, convention: str, *, metadata: Mapping[str, Any] | None = None, request_id: str | None = None
    ) -> pb.Deposition:
        """Make a draft."""
        return self._sender.send(
            calls.create_deposition(convention, metadata=metadata or {}, request_id=request_id)
        )

    def update_deposition(
        self,
        name: str,
        *,
        metadata: Mapping[str, Any],
        fields: Sequence[str] | None = None,
        etag: str = "",
        request_id: str | None = None,
    ) -> pb.Deposition:
        """Replace a draft's metadata, or the named fields only; a named field that is not in `metadata` is removed."""
        return self._sender.send(
            calls.update_deposition(name, metadata=metadata, fields=fields, etag=etag, request_id=request_id)
        )

    def get_deposition(self, name: str) -> pb.Deposition:
        """Return a deposition."""
        return self._sender.send(calls.get_deposition(name))

    def list_depositions(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        page_size: int = 0,
    ) -> Iterator[pb.Deposition]:
        """Yield the depositions that fit the filter, or all, in this order, or the newest first."""
        return self._sender.list(
            calls.list_depositions(filter=filter, order_by=order_by, page_size=page_size)
        )

    def delete_deposition(self, name: str, *, etag: str = "", request_id: str | None = None) -> None:
        """Delete a draft and its files."""
        self._sender.send(calls.delete_deposition(name, etag=etag, request_id=request_id))

    def upload_file(
        self,
        deposition: str,
        source: UploadSource,
        *,
        file_name: str | None = None,
        media_type: str = "",
        progress: Progress | None = None,
        request_id: str | None = None,
    ) -> pb.DepositionFile:
        """Upload a file, with its SHA-256, in pieces. A source that can be read twice is sent again if need be.

        Args:
            deposition: the draft, `depositions/{id}`.
            source: a path, bytes, or a file opened for reading in binary.
            file_name: its name there; by default the source's own.
            media_type: its media type.
            progress: called after each piece with the bytes sent so far and the size, if it is known, from a thread of
                grpc's.
            request_id: a name for this request.

        Raises:
            OsaRpcError: the server refuses it.
            UploadError: the server stored something else.
        """
        return self._sender.upload(
            lambda: plan_upload(
                deposition=deposition,
                source=source,
                file_name=file_name,
                media_type=media_type,
                request_id=request_id or calls.new_request_id(),
            ),
            progress=progress,
        )

    def download_file(
        self, name: str, path: Path | str, *, progress: Progress | None = None
    ) -> pb.DepositionFile:
        """Download a file to a path, which exists once all of it was received and its SHA-256 was checked.

        Raises:
            OsaRpcError: the server refuses it, or stays away.
            DownloadError: what was received is not the file.
        """
        download = FileDownload(name=name, resumption=self._sender.resumption(ignore))
        with PartFile(Path(path)) as part:
            with contextlib.closing(
                self._sender.resume(download, self._sender.stubs.depositions.DownloadFile)
            ) as pieces:
                for piece in pieces:
                    part.write(piece)
                    if progress is not None:
                        progress(*download.progress)
            part.keep()
        assert download.file is not None
        return download.file

    def list_files(self, deposition: str, *, page_size: int = 0) -> Iterator[pb.DepositionFile]:
        """Yield a deposition's files by name."""
        return self._sender.list(calls.list_files(deposition, page_size=page_size))

    def delete_file(self, name: str, *, request_id: str | None = None) -> None:
        """Delete a file of a draft."""
        self._sender.send(calls.delete_file(name, request_id=request_id))

    def submit_deposition(self, name: str, *, etag: str = "", request_id: str | None = None) -> pb.Run:
        """Submit a draft; return the run that judges it, PENDING."""
        return self._sender.send(calls.submit_deposition(name, etag=etag, request_id=request_id))

    def get_run(self, name: str) -> pb.Run:
        """Return a run."""
        return (self._sender.send(calls.get_run(name))).run

    def get_run_and_token(self, name: str) -> tuple[pb.Run, str]:
        """Return a run, and the resume token from which a watch tells everything after that state."""
        answer = self._sender.send(calls.get_run(name))
        return answer.run, answer.resume_token

    def list_runs(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        page_size: int = 0,
    ) -> Iterator[pb.Run]:
        """Yield the runs that fit the filter, or all, in this order, or the newest first."""
        return self._sender.list(calls.list_runs(filter=filter, order_by=order_by, page_size=page_size))

    def cancel_run(self, name: str, *, request_id: str | None = None) -> pb.Run:
        """Ask a run to stop; return it as it is now."""
        return self._sender.send(calls.cancel_run(name, request_id=request_id))

    def retry_run(self, name: str, *, request_id: str | None = None) -> pb.Run:
        """Submit the deposition of a run that is over and did not publish once more; return the new run."""
        return self._sender.send(calls.retry_run(name, request_id=request_id))

    def approve_run(self, name: str, *, reason: str = "", request_id: str | None = None) -> pb.Run:
        """Let a run that waits for a review be published; return it as it is now."""
        return self._sender.send(
            calls.review_run(name, decision=pb.REVIEW_DECISION_APPROVE, reason=reason, request_id=request_id)
        )

    def reject_run(self, name: str, *, reason: str, request_id: str | None = None) -> pb.Run:
        """Reject a run that waits for a review, with a reason for the depositor; return it as it is now."""
        return self._sender.send(
            calls.review_run(name, decision=pb.REVIEW_DECISION_REJECT, reason=reason, request_id=request_id)
        )

    def watch_run(
        self,
        name: str,
        *,
        resume_token: str | None = None,
        from_now: bool = False,
        until_now: bool = False,
        on_interruption: Callable[[Interruption], None] = ignore,
    ) -> Generator[pb.RunEvent, None, None]:
        """Yield a run's events, each once, in order and without a gap, until `run_finished`.

        The watch goes on by itself after a loss of connection and when the server closes the stream; it starts with
        the first event, after a resume token, or from now. Close the generator (`contextlib.closing`) if you leave it early.

        Raises:
            OsaRpcError: the server refuses, or stays away for longer than the client's patience.
            WatchGapError: an event is missing.
        """
        watch = self.watch_run_batches(
            name,
            resume_token=resume_token,
            from_now=from_now,
            until_now=until_now,
            on_interruption=on_interruption,
        )
        with contextlib.closing(watch):
            for response in watch:
                yield from response.events

    def watch_run_batches(
        self,
        name: str,
        *,
        resume_token: str | None = None,
        from_now: bool = False,
        until_now: bool = False,
        bookmark_interval: timedelta | None = None,
        on_interruption: Callable[[Interruption], None] = ignore,
    ) -> Generator[pb.WatchRunResponse, None, None]:
        """The same in the server's batches, each with a resume token to keep, with `caught_up` marks and bookmarks."""
        watch = RunWatch(
            name=name,
            resume_token=resume_token,
            from_now=from_now,
            until_now=until_now,
            bookmark_interval=bookmark_interval,
            resumption=self._sender.resumption(on_interruption),
        )
        return self._sender.resume(watch, self._sender.stubs.runs.WatchRun)

    def read_run_log(
        self,
        execution: str,
        *,
        attempt: int = 0,
        offset: int = 0,
        follow: bool = False,
        on_interruption: Callable[[Interruption], None] = ignore,
    ) -> Generator[LogPiece, None, None]:
        """Yield what a hook wrote to stdout and stderr, every byte once and in order.

        Args:
            execution: `runs/{run}/executions/{hook}`.
            attempt: which one, from 1; 0: the latest.
            offset: from which byte on.
            follow: wait for more until the attempt has ended.
            on_interruption: called when the connection was lost, before the reading goes on.
        """
        if attempt == 0:
            attempt = latest_attempt(self.get_run(run_of(execution)), execution)
        reading = LogReading(
            name=execution,
            attempt=attempt,
            offset=offset,
            follow=follow,
            resumption=self._sender.resumption(on_interruption),
        )
        with contextlib.closing(self._sender.resume(reading, self._sender.stubs.runs.ReadRunLog)) as pieces:
            yield from pieces

    def get_record(self, name: str) -> pb.Record:
        """Return a record."""
        return self._sender.send(calls.get_record(name))

    def list_records(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        page_size: int = 0,
    ) -> Iterator[pb.Record]:
        """Yield the records that fit the filter, or all, in this order, or the newest first."""
        return self._sender.list(calls.list_records(filter=filter, order_by=order_by, page_size=page_size))

    def get_feature_table(self, name: str) -> pb.FeatureTable:
        """Return a feature table."""
        return self._sender.send(calls.get_feature_table(name))

    def list_feature_tables(self, *, page_size: int = 0) -> Iterator[pb.FeatureTable]:
        """Yield all feature tables by name."""
        return self._sender.list(calls.list_feature_tables(page_size=page_size))

    def query(
        self,
        feature_table: str,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        columns: Sequence[str] = (),
        page_size: int = 0,
    ) -> Iterator[dict[str, RowValue]]:
        """Yield the rows of a feature table that fit the filter, through all pages, as dicts."""
        for page in self.query_pages(
            feature_table, filter=filter, order_by=order_by, columns=columns, page_size=page_size
        ):
            yield from page.as_dicts()

    def query_pages(
        self,
        feature_table: str,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        columns: Sequence[str] = (),
        page_size: int = 0,
    ) -> Iterator[QueryPage]:
        """Yield the pages of a query: the columns, and the rows as tuples. There is at least one page."""
        return self._sender.list(
            calls.query_features(
                feature_table, filter=filter, order_by=order_by, columns=columns, page_size=page_size
            )
        )

    def get_hook(self, name: str) -> pb.Hook:
        """Return a hook, with how often it has come to each verdict."""
        return self._sender.send(hook_calls.get_hook(name))

    def list_hooks(self, *, page_size: int = 0) -> Iterator[pb.Hook]:
        """Yield the hooks of all conventions by name."""
        return self._sender.list(hook_calls.list_hooks(page_size=page_size))

    def list_hook_uses(self, hook: str, *, page_size: int = 0) -> Iterator[pb.HookUse]:
        """Yield the conventions that use a hook, `hooks/{hook}`, the newest first."""
        return self._sender.list(hook_calls.list_hook_uses(hook, page_size=page_size))

    def get_delivery(self, name: str) -> pb.Delivery:
        """Return a delivery."""
        return self._sender.send(delivery_calls.get_delivery(name))

    def list_deliveries(
        self,
        *,
        filter: str = "",  # noqa: A002 - the contract's word
        order_by: str = "",
        page_size: int = 0,
    ) -> Iterator[pb.Delivery]:
        """Yield the deliveries that fit the filter, or all, in this order, or the newest first."""
        return self._sender.list(
            delivery_calls.list_deliveries(filter=filter, order_by=order_by, page_size=page_size)
        )

    def retry_delivery(self, name: str, *, request_id: str | None = None) -> pb.Delivery:
        """Make a delivery that is dead or was discarded due again; return it as it is now."""
        return self._sender.send(delivery_calls.retry_delivery(name, request_id=request_id))

    def discard_delivery(self, name: str, *, request_id: str | None = None) -> pb.Delivery:
        """Decide that a dead delivery need not be delivered; return it as it is now."""
        return self._sender.send(delivery_calls.discard_delivery(name, request_id=request_id))
