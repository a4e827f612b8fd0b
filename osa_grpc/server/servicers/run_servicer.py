import asyncio
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta

import grpc.aio

from osa_grpc.application.listing import RUN_COLUMNS
from osa_grpc.application.log_following import LogFollowing, LogPiece, as_text
from osa_grpc.application.run_control import no_run, request_cancel, retry_run, review_run
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.application.watching import DEFAULT_BOOKMARK, RunWatching, WatchRequest
from osa_grpc.domain.errors import InvalidRequestError, ResourceExhaustedError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.names import RunId
from osa_grpc.domain.srn import SrnAuthority
from osa_grpc.server.servicers.answering import answer_list, answer_mutation
from osa_grpc.wire import pb, resource_names, tokens
from osa_grpc.wire.run_codec import ruling_from_proto, run_to_proto
from osa_grpc.wire.times import duration_from_proto
from osa_grpc.wire.violations import Violations


class RunServicer(pb.RunServiceServicer):
    """Serves RunService.

    Its streams are written, not yielded, because each write is bounded in time; and as bytes, which a watch has encoded once for
    all watchers of a run. The generated base cannot say either.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        watching: RunWatching,
        logs: LogFollowing,
        authority: SrnAuthority,
        slow_consumer: timedelta,
        on_rejected: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._watching = watching
        self._logs = logs
        self._authority = authority
        self._slow_consumer_seconds = slow_consumer.total_seconds()
        self._on_rejected = on_rejected

    async def GetRun(
        self, request: pb.GetRunRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetRunResponse:
        """Return it."""
        run = resource_names.run_id(request.name)
        async with self._storage.reading() as tx:
            found = await tx.runs.find(run)
        if found is None:
            raise no_run(run)
        return pb.GetRunResponse(
            run=run_to_proto(found, self._authority),
            resume_token=tokens.resume_token(run, found.last_sequence),
        )

    async def ListRuns(
        self, request: pb.ListRunsRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListRunsResponse:
        """Return a page."""
        async with self._storage.reading() as tx:
            runs, token = await answer_list(
                request, RUN_COLUMNS, tx.runs.list, lambda found: run_to_proto(found, self._authority)
            )
        return pb.ListRunsResponse(runs=runs, next_page_token=token)

    async def CancelRun(
        self, request: pb.CancelRunRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.CancelRunResponse:
        """Ask it to stop."""
        run = resource_names.run_id(request.name)

        async def act(tx: Transaction) -> pb.CancelRunResponse:
            return pb.CancelRunResponse(run=run_to_proto(await request_cancel(tx, run), self._authority))

        return await answer_mutation(self._storage, request, pb.CancelRunResponse, act)

    async def RetryRun(
        self, request: pb.RetryRunRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.RetryRunResponse:
        """Submit its deposition once more."""
        run = resource_names.run_id(request.name)

        async def act(tx: Transaction) -> pb.RetryRunResponse:
            new = await retry_run(tx, run)
            return pb.RetryRunResponse(
                run=run_to_proto(new, self._authority),
                resume_token=tokens.resume_token(new.id, new.last_sequence),
            )

        return await answer_mutation(self._storage, request, pb.RetryRunResponse, act)

    async def ReviewRun(
        self, request: pb.ReviewRunRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ReviewRunResponse:
        """Decide about it."""
        found = Violations()
        with found.collecting():
            run = resource_names.run_id(request.name)
        with found.collecting():
            ruling = ruling_from_proto(request)
        found.check()

        async def act(tx: Transaction) -> pb.ReviewRunResponse:
            return pb.ReviewRunResponse(run=run_to_proto(await review_run(tx, run, ruling), self._authority))

        answer = await answer_mutation(self._storage, request, pb.ReviewRunResponse, act)
        if answer.run.state == pb.RUN_STATE_REJECTED:  # no worker takes it up to clear up behind it
            self._on_rejected()
        return answer

    async def WatchRun(  # type: ignore[override]
        self, request: pb.WatchRunRequest, context: "grpc.aio.ServicerContext[object, bytes]"
    ) -> None:
        """Send its events. What the client does not take stays unsent; one that takes nothing for long is let go."""
        run = resource_names.run_id(request.name)
        after = _start(request, run)
        asked = WatchRequest(
            run=run,
            after=after,
            until_now=request.until_now,
            bookmark_interval=duration_from_proto(request.bookmark_interval)
            if request.HasField("bookmark_interval")
            else DEFAULT_BOOKMARK,
        )
        async with aclosing(self._watching.watch(asked)) as messages:
            async for message in messages:
                await self._send(context, message)

    async def ReadRunLog(  # type: ignore[override]
        self, request: pb.ReadRunLogRequest, context: "grpc.aio.ServicerContext[object, bytes]"
    ) -> None:
        """Send what a hook wrote."""
        run, hook = resource_names.execution(request.name)
        if request.attempt < 0:
            raise InvalidRequestError(
                [
                    Violation(
                        at=FieldPath("attempt"),
                        message=f"expected 0 or more, found {request.attempt}",
                        reason="OUT_OF_RANGE",
                    )
                ]
            )
        pieces = self._logs.read(
            run,
            hook,
            attempt=request.attempt,
            offset=resource_names.offset(request.offset),
            follow=request.follow,
        )
        async with aclosing(pieces) as log:
            async for message in as_text(log, _log_message):
                await self._send(context, message)

    async def _send(self, context: "grpc.aio.ServicerContext[object, bytes]", message: bytes) -> None:
        try:
            async with asyncio.timeout(self._slow_consumer_seconds):
                await context.write(message)
        except TimeoutError as error:
            raise ResourceExhaustedError(
                f"the client took no message for {self._slow_consumer_seconds:g} s; resume from its last one",
                reason="SLOW_CONSUMER",
            ) from error


def _start(request: pb.WatchRunRequest, run: RunId) -> int | None:
    match request.WhichOneof("start"):
        case "resume_token" if request.resume_token:
            return tokens.read_resume_token(request.resume_token, run)
        case "from_now" if request.from_now:
            return None
        case _:
            return 0


def _log_message(piece: LogPiece, text: str | None) -> bytes:
    message = pb.ReadRunLogResponse(
        attempt=piece.attempt,
        offset=piece.offset,
        next_offset=piece.offset + len(piece.data),
        truncated=piece.is_truncated,
        gap=piece.is_after_gap,
    )
    if piece.data and text is not None:
        message.text = text
    elif piece.data:
        message.data = piece.data
    return message.SerializeToString()
