"""What an observer does with a hook that has ended."""

import asyncio
import threading
import uuid
from pathlib import Path
from typing import cast

import pytest

from osa_grpc.application.ports import HookEnd, HookOutputs
from osa_grpc.application.row_decoding import count_rows
from osa_grpc.application.run_observer import ObservationLimits, RunObserver
from osa_grpc.application.storage_ports import RunLease, Storage, WorkerId
from osa_grpc.domain.column import ColumnDef, JsonType
from osa_grpc.domain.hook import HookDefinition, TableFeatureSpec
from osa_grpc.domain.run import Provenance
from osa_grpc.runtimes.outputs import OutputDirectory
from tests.fixtures.hooks import hook_job

DIGEST = "sha256:" + "0" * 64


async def test_a_judgement_that_nobody_waits_for_any_more_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "features.json").write_bytes(b"[" + b"{}," * 20_000_000 + b"{}]")  # takes half a minute
    job = hook_job(DIGEST)
    column = ColumnDef(name="n", json_type=JsonType.INTEGER)
    feature = TableFeatureSpec(cardinality=job.hook.feature.cardinality, columns=(column,))
    hook = job.hook.model_copy(update={"feature": feature})
    has_begun, has_ended = threading.Event(), threading.Event()

    def count(outputs: HookOutputs, _: HookDefinition, subject_id: str) -> int:
        has_begun.set()
        try:
            return count_rows(outputs, hook, subject_id=subject_id)
        finally:
            has_ended.set()

    observer = RunObserver(
        storage=cast("Storage", None),  # nothing is written before the judgement
        lease=RunLease(run=job.run, worker=WorkerId(str(uuid.uuid4())), epoch=1),
        job=job,
        limits=ObservationLimits(),
        count_rows=count,
        is_last=True,
    )
    end = HookEnd(
        failure=None,
        exit_code=0,
        started_at=None,
        ended_at=None,
        provenance=Provenance(image="osa-test-shell", digest=DIGEST),
        outputs=OutputDirectory(directory=tmp_path, subject_id=job.subject.id),
    )
    judging = asyncio.create_task(observer.ended(end))
    assert await asyncio.to_thread(has_begun.wait, 10)
    judging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await judging
    assert await asyncio.to_thread(has_ended.wait, 5)
