"""Executes one run that is held: its hooks in order, the next only after `passed`, then review or publication.

Each step is committed under the lease's epoch; no transaction stays open while a container runs. A run that was under way when its
server went away is taken up where it stood: the attempt goes on with its container; hooks that have passed, and whose outputs are
here, are not run again.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import structlog

from osa_grpc.application import run_steps
from osa_grpc.application.held_run import HeldRun
from osa_grpc.application.judging import RowCount
from osa_grpc.application.patience import backoff
from osa_grpc.application.places import Places
from osa_grpc.application.ports import HookRuntime, Telemetry
from osa_grpc.application.publication import PassedHook, RowStream, publish
from osa_grpc.application.retry_policy import Again, GiveUp, RetryRules, decide
from osa_grpc.application.run_observer import Conclusion, ObservationLimits, RunObserver
from osa_grpc.application.run_steps import Turn, Work
from osa_grpc.application.storage_ports import Storage, Transaction
from osa_grpc.domain.errors import BadOutputError, LeaseLostError, ResourceExhaustedError, UnavailableError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.hook import HookDefinition
from osa_grpc.domain.names import RunId
from osa_grpc.domain.run import HookExecution, Run, RunState, Verdict
from osa_grpc.domain.srn import SrnAuthority

T = TypeVar("T")

_LOG = structlog.get_logger(__name__)
_OUTPUTS_ARE_GONE: Final = Failure(
    kind=FailureKind.INTERNAL, message="what a hook wrote is gone; it was not published yet", retryable=True
)


_PUBLICATIONS: Final = 4


class _TooMuchError(Exception):
    """The database has no room or no time for what is to be published."""


@dataclass(frozen=True, kw_only=True)
class ExecutionRules:
    """How runs are executed."""

    retry: RetryRules
    limits: ObservationLimits = field(default_factory=ObservationLimits)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """As far as a run goes now. `is_over`: to its end; else it waits: for a person, or for its time, which is `until`."""

    is_over: bool
    until: datetime | None = None


_OVER: Final = Rest(is_over=True)


class RunExecutor:
    """Executes runs that are held, one call for each."""

    def __init__(
        self,
        *,
        storage: Storage,
        runtimes: Mapping[str, HookRuntime],
        authority: SrnAuthority,
        count_rows: RowCount,
        stream_rows: RowStream,
        places: Places,
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

    async def execute(self, held: HeldRun) -> Rest:
        """Bring the run to its end, or as far as it goes. When this returns nothing of the run is under way here.

        Raises:
            LeaseLostError: another worker has the run.
        """
        with structlog.contextvars.bound_contextvars(run=held.lease.run):
            try:
                rest = await self._execute(held)
            except (LeaseLostError, UnavailableError):
                raise
            except Exception:  # noqa: BLE001 - one run's trouble is not the worker's; it is logged and told
                incident = uuid.uuid4().hex
                _LOG.exception("run failed unexpectedly", incident=incident)
                failure = Failure(
                    kind=FailureKind.INTERNAL, message=f"something went wrong; incident {incident}"
                )
                await self._fail(held, failure)
                rest = _OVER
            if rest.is_over:
                await self._discard(held.lease.run)
            return rest

    async def finish_cancel(self, held: HeldRun) -> Rest:
        """CANCELLING → CANCELLED, once everything of the run has stopped and is removed."""
        await self._discard(held.lease.run)
        await self._step(held, lambda tx: run_steps.cancelled(tx, held.lease))
        _LOG.info("run cancelled", run=held.lease.run)
        return _OVER

    async def _execute(self, held: HeldRun) -> Rest:
        work = await self._step(held, lambda tx: run_steps.take_up(tx, held.lease, self._authority))
        if work is None:
            return await self.finish_cancel(held)
        passed: list[PassedHook] = []
        for hook in work.hooks:
            one = await self._hook(held, work, hook)
            if isinstance(one, Rest):
                return one
            passed.append(one)
        run = await self._publish(held, passed)
        if run.state is RunState.RUNNING:  # it has no hooks
            await self._step(held, lambda tx: run_steps.after_hooks(tx, held.lease, work.review))
            run = await self._publish(held, passed)
        if run.state is RunState.CANCELLING:
            return await self.finish_cancel(held)
        if not run.state.is_terminal:  # a person decides, or has just decided
            return Rest(is_over=False)
        _LOG.info("run finished", state=run.state.value)
        return _OVER

    async def _hook(self, held: HeldRun, work: Work, hook: HookDefinition) -> PassedHook | Rest:
        """Return the hook once it has passed; else how far the run has come."""
        found = work.run.execution(hook.name)  # as it was taken up: its turn was not yet
        if found.verdict is not None:
            return await self._judged_before(held, work, hook, found)
        if (rest := _waits(found)).until is not None and rest.until > work.taken_up_at:
            return rest
        while True:
            turn = await self._step(
                held,
                lambda tx: run_steps.take_turn(
                    tx, held.lease, hook.name, are_places_taken=self._places.are_all_taken
                ),
            )
            if turn is None:
                return await self.finish_cancel(held)
            conclusion = await self._attempt(held, work, hook, turn)
            if conclusion.run.state is RunState.CANCELLING:
                return await self.finish_cancel(held)
            if conclusion.judgement.verdict is Verdict.PASSED:
                assert conclusion.outputs is not None
                return PassedHook(hook=hook, execution=turn.execution.id, outputs=conclusion.outputs)
            if conclusion.again is None:
                return _OVER
            if conclusion.again.delay:
                return _waits(conclusion.run.execution(hook.name))

    async def _judged_before(
        self, held: HeldRun, work: Work, hook: HookDefinition, found: HookExecution
    ) -> PassedHook | Rest:
        """Go on with a hook that had its verdict when the run was taken up."""
        if found.verdict is not Verdict.PASSED:  # the server that judged it went away before it ended the run
            run = await self._step(held, lambda tx: run_steps.end_by_verdict(tx, held.lease, hook.name))
            return _OVER if run.state.is_terminal else await self.finish_cancel(held)
        outputs = self._runtimes[hook.runtime.type].outputs(work.job(found, hook))
        if outputs is not None:
            return PassedHook(hook=hook, execution=found.id, outputs=outputs)
        return await self._without_outputs(held, work, hook, found)

    async def _attempt(self, held: HeldRun, work: Work, hook: HookDefinition, turn: Turn) -> Conclusion:
        job = work.job(turn.execution, hook, turn.resumption)
        observer = RunObserver(
            storage=self._storage,
            held=held,
            job=job,
            execution=turn.execution,
            limits=self._rules.limits,
            retry=self._rules.retry,
            count_rows=self._count_rows,
            review=work.review if hook is work.hooks[-1] else None,
        )
        with structlog.contextvars.bound_contextvars(hook=hook.name, attempt=job.attempt):
            async with self._places.place(work.run.convention, at_once=turn.has_place):
                with self._telemetry.running_hook(hook.name):
                    end = await self._runtimes[hook.runtime.type].run(job, observer)
            conclusion = await observer.conclude(end)
            verdict, failure = conclusion.judgement.verdict, conclusion.judgement.failure
            if conclusion.again is None:
                self._telemetry.hook_ended(hook.name, verdict)
                _LOG.info("hook finished", verdict=verdict.value, failure=failure)
            elif failure is not None:
                self._tell_of_retry(hook, failure, conclusion.again)
        return conclusion

    async def _without_outputs(
        self, held: HeldRun, work: Work, hook: HookDefinition, found: HookExecution
    ) -> Rest:
        """See to a hook that passed and left nothing here: it is run again, if the run can still go back to that."""
        decision = decide(
            _OUTPUTS_ARE_GONE,
            failure_count=found.failure_count + 1,
            memory_bytes=found.memory_bytes or hook.runtime.limits.memory_bytes,
            rules=self._rules.retry,
        )
        if work.run.state is not RunState.RUNNING:
            decision = GiveUp(failure=_OUTPUTS_ARE_GONE)
        match decision:
            case GiveUp(failure=failure):
                await self._fail(held, failure)
                return _OVER
            case Again() as again:
                run = await self._step(
                    held,
                    lambda tx: run_steps.run_again(tx, held.lease, hook.name, _OUTPUTS_ARE_GONE, again),
                )
                if run.state is RunState.CANCELLING:
                    return await self.finish_cancel(held)
                self._tell_of_retry(hook, _OUTPUTS_ARE_GONE, again)
                return _waits(run.execution(hook.name))

    def _tell_of_retry(self, hook: HookDefinition, cause: Failure, again: Again) -> None:
        self._telemetry.hook_retried(hook.name, cause.kind)
        _LOG.info("hook is tried again", cause=cause, after_seconds=again.delay.total_seconds())

    async def _publish(self, held: HeldRun, passed: list[PassedHook]) -> Run:
        """PUBLISHING → COMPLETED, or FAILED; a run in another state is returned as it is.

        What the database has no room or no time for is tried a few times and then given up: each time it does the work again, and
        may leave less room for everybody else.
        """

        async def once() -> Run:
            try:
                async with self._storage.transaction() as tx:
                    return await publish(
                        tx, held.lease, passed, authority=self._authority, rows=self._stream_rows
                    )
            except ResourceExhaustedError as error:
                raise _TooMuchError(str(error)) from error
            except UnavailableError as error:
                if error.reason != "DATABASE_TIMEOUT":
                    raise
                raise _TooMuchError(str(error)) from error

        attempt = 0
        while True:
            attempt += 1
            try:
                return await held.write(once)
            except BadOutputError as error:
                return await self._fail(held, Failure(kind=FailureKind.BAD_OUTPUT, message=str(error)))
            except _TooMuchError as error:
                _LOG.warning("publication did not succeed", attempt=attempt, error=str(error))
                if attempt >= _PUBLICATIONS:
                    message = f"the rows could not be published: {error}"
                    failure = Failure(kind=FailureKind.INTERNAL, message=message, retryable=True)
                    return await self._fail(held, failure)
                await asyncio.sleep(backoff(attempt, first=self._rules.retry.delay).total_seconds())

    async def _fail(self, held: HeldRun, failure: Failure) -> Run:
        return await self._step(held, lambda tx: run_steps.fail(tx, held.lease, failure))

    async def _step(self, held: HeldRun, step: Callable[[Transaction], Awaitable[T]]) -> T:
        """Do a step in a transaction of its own, through outages."""

        async def once() -> T:
            async with self._storage.transaction() as tx:
                return await step(tx)

        return await held.write(once)

    async def _discard(self, run: RunId) -> None:
        for runtime in self._runtimes.values():
            await runtime.discard(run)


def _waits(execution: HookExecution) -> Rest:
    """The run waits for as long as this execution does."""
    return Rest(is_over=False, until=None if execution.waiting is None else execution.waiting.until)
