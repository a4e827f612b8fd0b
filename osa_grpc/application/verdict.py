"""How a hook ended becomes its verdict: facts in, judgement out.

In this order: what the engine or a limit did, a rejection (it wins over the exit code), the exit code, bad output, an error that
the hook reports, passed. Rows are decoded before the verdict, so that bad output fails the hook and not the publication.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from osa_grpc.application.ports import HookEnd, HookOutputs
from osa_grpc.domain.errors import BadOutputError
from osa_grpc.domain.failure import Failure, FailureKind
from osa_grpc.domain.run import Verdict

_SHELL_CODES: Final = {126: "a program cannot be run", 127: "a program was not found"}
_SIGNALS_MEAN: Final = {
    signal.SIGKILL: ", perhaps for memory",
    signal.SIGXFSZ: ", because a file of its would have grown beyond what it may write",
}
_BY_SIGNAL: Final = 128  # what shells and inits add to the number of the signal that ended a program


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A verdict and what belongs to it: REJECTED has a reason, FAILED a failure, PASSED its rows."""

    verdict: Verdict
    rejection_reason: str | None = None
    failure: Failure | None = None
    row_count: int = 0


def judge(end: HookEnd, count_rows: Callable[[HookOutputs], int]) -> Judgement:
    """Return the verdict. `count_rows` decodes all rows against the spec and raises BadOutputError. Reads files: blocks."""
    if end.failure is not None:
        return _failed(end.failure)
    if end.outputs is None:
        raise ValueError("a container that ended without a failure has outputs")
    unreadable: BadOutputError | None = None
    try:
        reason = end.outputs.rejection()
    except BadOutputError as error:
        reason, unreadable = None, error
    if reason is not None:
        return Judgement(verdict=Verdict.REJECTED, rejection_reason=reason)
    if end.exit_code != 0:
        return _failed(_exit(end.exit_code, _reported(end.outputs)))
    if unreadable is not None:
        return _failed(_bad_output(unreadable))
    try:
        reported = end.outputs.error()
        if reported is not None:
            return _failed(reported)
        return Judgement(verdict=Verdict.PASSED, row_count=count_rows(end.outputs))
    except BadOutputError as error:
        return _failed(_bad_output(error))


def _failed(failure: Failure) -> Judgement:
    return Judgement(verdict=Verdict.FAILED, failure=failure)


def _bad_output(error: BadOutputError) -> Failure:
    return Failure(kind=FailureKind.BAD_OUTPUT, message=str(error))


def _reported(outputs: HookOutputs) -> Failure | None:
    """What the hook itself says about its error, if that can be read."""
    try:
        return outputs.error()
    except BadOutputError:
        return None


def _exit(exit_code: int | None, reported: Failure | None) -> Failure:
    message = f"the hook exited with code {exit_code}"
    if exit_code in _SHELL_CODES:
        message += f": {_SHELL_CODES[exit_code]}"
    if exit_code is not None and exit_code - _BY_SIGNAL in set(signal.Signals):
        number = signal.Signals(exit_code - _BY_SIGNAL)
        message += f": it, or a program it ran, was ended by {number.name}{_SIGNALS_MEAN.get(number, '')}"
    if reported is None:
        return Failure(kind=FailureKind.HOOK_EXIT, message=message)
    return reported.model_copy(update={"message": f"{message}; it says: {reported.message}"})
