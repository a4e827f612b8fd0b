"""Executes one run that is held: its hooks in order, the next only after `passed`, then publication.

Each step is committed under the lease's epoch; no transaction stays open while a container runs. A run that was under way when its
server went away is taken up where it stood: hooks that have passed and whose outputs are here are not run again.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from osa_grpc.application.patience import through_outages
from osa_grpc.application.ports import (
    HookEnd,
    HookJob,
    HookOutputs,
    HookRuntime,
    HookSubject,
    SubjectFile,
    Telemetry,
)
from osa_grpc.application.publication import PassedHook, RowStream, publish
from osa_grpc.application.run_control import end_run
from osa_grpc.application.run_observer import ObservationLimits, RunObserver
from osa_grpc.application.storage_ports import PageRequest, RunLease, Storage, Transaction
from osa_grpc.application.verdict import Judgement, judge
from osa_grpc.domain.convention import ConventionDefinition
from osa_grpc.domain.errors import BadOutputError, LeaseLostError, UnavailableError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.run import HookExecution, HookExecutionState, Run, RunState, Verdict
from osa_grpc.domain.run_event import HookFinished, HookRetrying, RunEventKind, RunStarted
from osa_grpc.domain.srn import SrnAuthority

_LOG = structlog.get_logger(__name__)
_SERVER_WENT_AWAY = Failure(
    kind=FailureKind.INTERNAL, message="the server that ran the hook went away", retryable=True
)

RowCount = Callable[[HookOutputs, HookDefinition, str], int]
"""Decodes a hook's rows, and returns how many there are. Blocks; raises BadOutputError."""


@dataclass(frozen=True, kw_only=True)
class ExecutionRules:
    """How runs are executed."""

    limits: ObservationLimits = field(default_factory=ObservationLimits)
    max_attempts: int = 5
    """How often a hook is begun before a run that its servers keep losing is failed."""


class RunExecutor:
    """Executes runs that are held, one call for each. `places` are the server's places for running hooks."""

    def __init__(
        self,
        *,
        storage: Storage,
        runtimes: Mapping[str, HookRuntime],
        authority: SrnAuthority,
        count_rows: RowCount,
        stream_rows: RowStream,
        places: asyncio.Semaphore,
        rules: ExecutionRules,
        telemetry: Telemetry,
    ) -> None:
        self._storage = storage
        self._runtimes = runtimes
        self._authority = authority
        self._count_rows = count_rows
        self._stream_rows = stream_rows
        self._places = places
        self._rules = rules
        self._telemetry = telemetry

    async def execute(self, lease: RunLease) -> None:
        """Bring the run to its end, or as far as it goes. When this returns nothing of the run is under way here.

        Raises:
            LeaseLostError: another worker has the run.
        """
        with structlog.contextvars.bound_contextvars(run=lease.run, epoch=lease.epoch):
            try:
                await self._execute(lease)
            except (LeaseLostError, UnavailableError):
                raise
            except Exception:  # noqa: BLE001 - one run's trouble is not the worker's; it is logged and told
                incident = uuid.uuid4().hex
                _LOG.exception("run failed unexpectedly", incident=incident)
                failure = Failure(
                    kind=FailureKind.INTERNAL, message=f"something went wrong; incident {incident}"
                )
                await through_outages(lambda: self._fail(lease, failure))
            await self._discard(lease)

    async def finish_cancel(self, lease: RunLease) -> None:
        """CANCELLING → CANCELLED, once everything of the run has stopped and is removed."""
        await self._discard(lease)

        async def write() -> None:
            async with self._storage.transaction() as tx:
                run = await tx.runs.lock(lease)
                if run.state is RunState.CANCELLING:
                    await self._close_logs(tx, run)
                    await end_run(tx, run.cancelled(at=await tx.now()))

        await through_outages(write)
        _LOG.info("run cancelled", run=lease.run)

    async def _execute(self, lease: RunLease) -> None:
        run = await through_outages(lambda: self._begin(lease))
        if run.state is RunState.CANCELLING:
            await self.finish_cancel(lease)
            return
        if run.state.is_terminal:
            return
        definition, subject = await through_outages(lambda: self._read(run))
        passed: list[PassedHook] = []
        for hook in definition.hooks:
            one = await self._execute_hook(lease, hook, subject)
            if one is None:
                return
            passed.append(one)
        await through_outages(lambda: self._to_publishing(lease))
        over = await through_outages(lambda: self._publish(lease, passed))
        _LOG.info("run finished", state=over.state.value)

    async def _begin(self, lease: RunLease) -> Run:
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            if run.state is RunState.PENDING:
                run = run.started(at=await tx.now())
                await tx.runs.save(run)
                await tx.runs.append(run.id, [RunStarted()])
            return run

    async def _read(self, run: Run) -> tuple[ConventionDefinition, HookSubject]:
        async with self._storage.reading() as tx:
            convention = await tx.conventions.find(run.convention)
            deposition = await tx.depositions.find(run.source.deposition)
            assert convention is not None
            assert deposition is not None
            files: list[SubjectFile] = []
            page = PageRequest(size=1000)
            while True:
                listed = await tx.depositions.list_files(deposition.id, page)
                files += [
                    SubjectFile(file_name=f.file_name, key=f.key, size_bytes=f.size_bytes, sha256=f.sha256)
                    for f in listed.items
                ]
                if listed.after is None:
                    break
                page = PageRequest(size=1000, after=listed.after)
        subject = HookSubject(
            id=deposition.id,
            srn=self._authority.deposition(deposition.id),
            metadata=dict(deposition.metadata),
            files=files,
        )
        return convention.definition, subject

    async def _execute_hook(
        self, lease: RunLease, hook: HookDefinition, subject: HookSubject
    ) -> PassedHook | None:
        """Return the hook once it has passed; None when the run is over."""
        runtime = self._runtimes[hook.runtime.type]
        run = await through_outages(lambda: self._stored(lease))
        execution = run.execution(hook.name)
        if execution.verdict is Verdict.PASSED:
            outputs = runtime.outputs(_job(run, execution, hook, subject))
            if outputs is not None:
                return PassedHook(hook=hook, execution=execution.id, outputs=outputs)
        elif run.state is RunState.CANCELLING:
            await self.finish_cancel(lease)
            return None
        if execution.attempt >= self._rules.max_attempts:
            await through_outages(lambda: self._fail(lease, _SERVER_WENT_AWAY))
            return None
        execution = await through_outages(lambda: self._take_turn(lease, hook))
        job = _job(run, execution, hook, subject)
        observer = RunObserver(storage=self._storage, lease=lease, job=job, limits=self._rules.limits)
        with structlog.contextvars.bound_contextvars(hook=hook.name, attempt=job.attempt):
            async with self._places:
                with self._telemetry.running_hook(hook.name):
                    end = await runtime.run(job, observer)
            end, judgement = await asyncio.to_thread(self._judge, end, hook, subject)
            over = await through_outages(lambda: self._conclude(lease, job, observer, end, judgement))
            self._telemetry.hook_ended(hook.name, judgement.verdict)
            _LOG.info("hook finished", verdict=judgement.verdict.value, failure=judgement.failure)
        if over.state is RunState.CANCELLING:
            await self.finish_cancel(lease)
            return None
        if judgement.verdict is not Verdict.PASSED:
            return None
        outputs = end.outputs
        assert outputs is not None
        return PassedHook(hook=hook, execution=execution.id, outputs=outputs)

    def _judge(self, end: HookEnd, hook: HookDefinition, subject: HookSubject) -> tuple[HookEnd, Judgement]:
        """Read the outputs (blocking), and complete the provenance with their digest."""
        judgement = judge(end, lambda outputs: self._count_rows(outputs, hook, subject.id))
        if end.outputs is not None:
            digest = {"output_sha256": end.outputs.sha256()}
            end = replace(end, provenance=end.provenance.model_copy(update=digest))
        return end, judgement

    async def _stored(self, lease: RunLease) -> Run:
        async with self._storage.transaction() as tx:
            return await tx.runs.lock(lease)

    async def _take_turn(self, lease: RunLease, hook: HookDefinition) -> HookExecution:
        """Begin an attempt: the hook waits for a place. An attempt before it was lost with its server, or its outputs were."""
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            before = run.execution(hook.name)
            execution = HookExecution(
                id=before.id,
                hook=before.hook,
                attempt=before.attempt + 1,
                state=HookExecutionState.WAITING,
                created_at=before.created_at or await tx.now(),
            )
            await tx.runs.save(run.with_execution(execution))
            if before.attempt:
                await self._close_log(tx, before)
                retrying = HookRetrying(hook=hook.name, attempt=execution.attempt, cause=_SERVER_WENT_AWAY)
                await tx.runs.append(run.id, [retrying])
            return execution

    async def _conclude(
        self, lease: RunLease, job: HookJob, observer: RunObserver, end: HookEnd, judgement: Judgement
    ) -> Run:
        """Write the verdict; and, unless it is `passed`, the run's end."""
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            now = await tx.now()
            execution = run.execution(job.hook.name)
            if execution.state is HookExecutionState.FINISHED:
                return run  # the commit whose answer was cut off had happened
            await tx.run_logs.close(job.execution, job.attempt, is_truncated=observer.is_log_truncated)
            if run.state is RunState.CANCELLING:
                return run
            run = run.with_execution(_finished(execution, observer, end, judgement, at=now))
            events: list[RunEventKind] = []
            if (dropped := observer.dropped_progress()) is not None:
                events.append(dropped)
            events.append(
                HookFinished(
                    hook=job.hook.name,
                    attempt=job.attempt,
                    verdict=judgement.verdict,
                    rejection_reason=judgement.rejection_reason,
                    failure=judgement.failure,
                    row_count=judgement.row_count,
                    duration=_duration(end),
                )
            )
            match judgement.verdict:
                case Verdict.PASSED:
                    await tx.runs.save(run)
                    await tx.runs.append(run.id, events)
                case Verdict.REJECTED:
                    run = run.rejected(reason=judgement.rejection_reason or "", at=now)
                    await end_run(tx, run, before=tuple(events))
                case Verdict.FAILED:
                    assert judgement.failure is not None
                    run = run.failed(failure=judgement.failure, at=now)
                    await end_run(tx, run, before=tuple(events))
            return run

    async def _to_publishing(self, lease: RunLease) -> None:
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            if run.state is RunState.RUNNING:
                await tx.runs.save(run.publishing())

    async def _publish(self, lease: RunLease, passed: list[PassedHook]) -> Run:
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
        if run.state is RunState.CANCELLING:
            await self.finish_cancel(lease)
            return run
        if run.state.is_terminal:
            return run  # the commit whose answer was cut off had happened
        try:
            async with self._storage.transaction() as tx:
                return await publish(tx, lease, passed, authority=self._authority, rows=self._stream_rows)
        except BadOutputError as error:
            failure = Failure(kind=FailureKind.BAD_OUTPUT, message=str(error))
            return await self._fail(lease, failure)

    async def _fail(self, lease: RunLease, failure: Failure) -> Run:
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            if run.state is RunState.CANCELLING:
                await end_run(tx, run.cancelled(at=await tx.now()))
            elif not run.state.is_terminal:
                await self._close_logs(tx, run)
                run = run.failed(failure=failure, at=await tx.now())
                await end_run(tx, run)
            return run

    async def _close_logs(self, tx: Transaction, run: Run) -> None:
        for execution in run.executions:
            await self._close_log(tx, execution)

    async def _close_log(self, tx: Transaction, execution: HookExecution) -> None:
        if execution.attempt:
            state = await tx.run_logs.state(execution.id, execution.attempt)
            if state is None or not state.is_closed:
                await tx.run_logs.close(execution.id, execution.attempt, is_truncated=False)

    async def _discard(self, lease: RunLease) -> None:
        for runtime in self._runtimes.values():
            await runtime.discard(lease.run)


def _job(run: Run, execution: HookExecution, hook: HookDefinition, subject: HookSubject) -> HookJob:
    return HookJob(run=run.id, execution=execution.id, attempt=execution.attempt, hook=hook, subject=subject)


def _duration(end: HookEnd) -> timedelta:
    if end.started_at is None or end.ended_at is None:
        return timedelta()
    return max(timedelta(), end.ended_at - end.started_at)


def _finished(
    execution: HookExecution, observer: RunObserver, end: HookEnd, judgement: Judgement, *, at: datetime
) -> HookExecution:
    return execution.model_copy(
        update={
            "state": HookExecutionState.FINISHED,
            "verdict": judgement.verdict,
            "rejection_reason": judgement.rejection_reason,
            "failure": judgement.failure,
            "row_count": judgement.row_count,
            "log_bytes": observer.log_bytes,
            "ended_at": at,
            "provenance": end.provenance,
        }
    )
