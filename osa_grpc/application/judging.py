"""Judging what a hook left behind, beside the event loop: gigabytes may have to be read."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace

from osa_grpc.application.abandoning import AbandonableOutputs
from osa_grpc.application.ports import HookEnd, HookJob, HookOutputs
from osa_grpc.application.verdict import Judgement, judge
from osa_grpc.domain.hook import HookDefinition

RowCount = Callable[[HookOutputs, HookDefinition, str], int]
"""Decodes a hook's rows, and returns how many there are. Blocks; raises BadOutputError."""


async def judged(job: HookJob, end: HookEnd, count_rows: RowCount) -> tuple[HookEnd, Judgement]:
    """Return the end, its provenance completed with the digest of the outputs, and the judgement.

    The thread is not left at work when the call is cancelled: the process could not end before it.
    """
    given_up = threading.Event()

    def work() -> tuple[HookEnd, Judgement]:
        if end.outputs is None:
            return end, judge(end, lambda _: 0)
        outputs = AbandonableOutputs(end.outputs, given_up=given_up)
        judgement = judge(
            replace(end, outputs=outputs), lambda outputs: count_rows(outputs, job.hook, job.subject.id)
        )
        digest = {"output_sha256": outputs.sha256()}
        return replace(end, provenance=end.provenance.model_copy(update=digest)), judgement

    try:
        return await asyncio.to_thread(work)
    finally:
        given_up.set()
