"""Executes one run that is held: its hooks in order, the next only after `passed`, then publication.

Each step is committed under the lease's epoch; no transaction stays open while a container runs. A run that was under way when its
server went away is taken up where it stood: hooks that have passed and whose outputs are here are not run again.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from osa_grpc.application.patience import through_outages
from osa_grpc.application.ports import (
    HookJob,
    HookRuntime,
    HookSubject,
    SubjectFile,
    Telemetry,
)
from osa_grpc.application.publication import PassedHook, RowStream, publish
from osa_grpc.application.run_control import end_run
from osa_grpc.application.run_observer import ObservationLimits, RowCount, RunObserver
from osa_grpc.application.storage_ports import PageRequest, RunLease, Storage, Transaction
from osa_grpc.domain.errors import BadOutputError, LeaseLostError, UnavailableError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.run import HookExecution, HookExecutionState, Run, RunState, Verdict
from osa_grpc.domain.run_event import HookRetrying, RunStarted
from osa_grpc.domain.srn import SrnAuthority

_LOG = structlog.get_logger(__name__)
_SERVER_WENT_AWAY = Failure(
    kind=FailureKind.INTERNAL, message="the server that ran the hook went away", retryable=True
)
_OUTPUTS_ARE_GONE = Failure(
    kind=FailureKind.INTERNAL, message="what a hook wrote is gone; it was not published yet", retryable=True
)


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
        work = await through_outages(lambda: self._begin(lease))
        if work is None:
            await self.finish_cancel(lease)
            return
        passed: list[PassedHook] = []
        for hook in work.hooks:
            one = await self._execute_hook(lease, work, hook)
            if one is None:
                return
            passed.append(one)
        over = await through_outages(lambda: self._publish(lease, passed))
        _LOG.info("run finished", state=over.state.value)

    async def _begin(self, lease: RunLease) -> "_Work | None":
        """Return what there is to do; None for a run that is to be cancelled, or is over."""
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            if run.state is RunState.CANCELLING or run.state.is_terminal:
                return None
            if run.state is RunState.PENDING:
                run = run.started(at=await tx.now())
                await tx.runs.save(run)
                await tx.runs.append(run.id, [RunStarted()])
            convention = await tx.conventions.find(run.convention)
            assert convention is not None
            return _Work(run=run, hooks=convention.definition.hooks, subject=await self._subject(tx, run))

    async def _subject(self, tx: Transaction, run: Run) -> HookSubject:
        deposition = await tx.depositions.find(run.source.deposition)
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
        return HookSubject(
            id=deposition.id,
            srn=self._authority.deposition(deposition.id),
            metadata=dict(deposition.metadata),
            files=files,
        )

    async def _execute_hook(self, lease: RunLease, work: "_Work", hook: HookDefinition) -> PassedHook | None:
        """Return the hook once it has passed; None when the run is over."""
        runtime = self._runtimes[hook.runtime.type]
        execution = work.run.execution(hook.name)  # as it was taken up: its turn was not yet
        if execution.verdict is Verdict.PASSED:
            outputs = runtime.outputs(work.job(execution, hook))
            if outputs is not None:
                return PassedHook(hook=hook, execution=execution.id, outputs=outputs)
            if work.run.state is RunState.PUBLISHING:  # there is no way back to running
                await through_outages(lambda: self._fail(lease, _OUTPUTS_ARE_GONE))
                return None
        if execution.attempt >= self._rules.max_attempts:
            await through_outages(lambda: self._fail(lease, _SERVER_WENT_AWAY))
            return None
        taken = await through_outages(lambda: self._take_turn(lease, hook))
        if taken is None:
            await self.finish_cancel(lease)
            return None
        job = work.job(taken, hook)
        observer = RunObserver(
            storage=self._storage,
            lease=lease,
            job=job,
            limits=self._rules.limits,
            count_rows=self._count_rows,
            is_last=hook is work.hooks[-1],
        )
        with structlog.contextvars.bound_contextvars(hook=hook.name, attempt=job.attempt):
            async with self._places:
                with self._telemetry.running_hook(hook.name):
                    end = await runtime.run(job, observer)
            conclusion = await observer.conclude(end)
            judgement = conclusion.judgement
            self._telemetry.hook_ended(hook.name, judgement.verdict)
            _LOG.info("hook finished", verdict=judgement.verdict.value, failure=judgement.failure)
        if conclusion.run.state is RunState.CANCELLING:
            await self.finish_cancel(lease)
            return None
        if judgement.verdict is not Verdict.PASSED:
            return None
        assert conclusion.outputs is not None
        return PassedHook(hook=hook, execution=job.execution, outputs=conclusion.outputs)

    async def _take_turn(self, lease: RunLease, hook: HookDefinition) -> HookExecution | None:
        """Begin an attempt: the hook waits for a place. None for a run that is to be cancelled.

        An attempt before it was lost with its server, or its outputs were.
        """
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            if run.state is RunState.CANCELLING:
                return None
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

    async def _publish(self, lease: RunLease, passed: list[PassedHook]) -> Run:
        try:
            async with self._storage.transaction() as tx:
                run = await publish(tx, lease, passed, authority=self._authority, rows=self._stream_rows)
        except BadOutputError as error:
            failure = Failure(kind=FailureKind.BAD_OUTPUT, message=str(error))
            return await self._fail(lease, failure)
        if run.state is RunState.RUNNING:  # it has no hooks, or all had passed when it was taken up
            await self._to_publishing(lease)
            return await self._publish(lease, passed)
        if run.state is RunState.CANCELLING:
            await self.finish_cancel(lease)
        return run

    async def _to_publishing(self, lease: RunLease) -> None:
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            if run.state is RunState.RUNNING:
                await tx.runs.save(run.publishing())

    async def _fail(self, lease: RunLease, failure: Failure) -> Run:
        async with self._storage.transaction() as tx:
            run = await tx.runs.lock(lease)
            if run.state is RunState.CANCELLING:
                await end_run(tx, run.cancelled(at=await tx.now()))
            elif not run.state.is_terminal:
                await self._close_logs(tx, run)
                if run.state is RunState.PENDING:
                    run = run.started(at=await tx.now())
                    await tx.runs.save(run)
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


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What a run asks for, read when it was taken up."""

    run: Run
    hooks: Sequence[HookDefinition]
    subject: HookSubject

    def job(self, execution: HookExecution, hook: HookDefinition) -> HookJob:
        return HookJob(
            run=self.run.id,
            execution=execution.id,
            attempt=execution.attempt,
            hook=hook,
            subject=self.subject,
        )
