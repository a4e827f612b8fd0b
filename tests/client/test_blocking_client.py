"""The blocking client's retries and resumes, against a server that the test plays."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from osa_grpc.client import DownloadError, OsaRpcError, UploadError
from osa_grpc.client.uploading import PIECE_BYTES
from osa_grpc.domain.errors import InvalidRequestError, Violation
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire import pb
from tests.client.scripted import IN_TIME, ScriptedServer, scripted_server, trailers_of

FILE = "depositions/1/files/a.cif"
EXECUTION = "runs/1/executions/chains"


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as one:
        yield one


def event(sequence: int, *, last: bool = False) -> pb.RunEvent:
    if last:
        return pb.RunEvent(sequence=sequence, run_finished=pb.RunFinished(state=pb.RUN_STATE_COMPLETED))
    return pb.RunEvent(sequence=sequence, run_started=pb.RunStarted())


def test_a_watch_that_is_cut_goes_on_with_its_token(server: ScriptedServer) -> None:
    watched = server.client_does(lambda client: [e.sequence for e in client.watch_run("runs/1")])
    first = server.stream(
        "RunService",
        "WatchRun",
        pb.WatchRunResponse(events=[event(1), event(2)], resume_token="two"),
        end=grpc.StatusCode.UNAVAILABLE,
    )
    second = server.stream("RunService", "WatchRun", end=grpc.StatusCode.UNAVAILABLE)
    third = server.stream(
        "RunService",
        "WatchRun",
        pb.WatchRunResponse(events=[event(3)], resume_token="three"),
        pb.WatchRunResponse(closing=pb.Closing(), resume_token="three"),
    )
    fourth = server.stream("RunService", "WatchRun", pb.WatchRunResponse(events=[event(4, last=True)]))
    assert watched.result(IN_TIME) == [1, 2, 3, 4]
    assert not first.HasField("resume_token")
    assert [request.resume_token for request in (second, third, fourth)] == ["two", "two", "three"]


def test_a_watch_of_a_server_that_is_not_there_fails_at_once(server: ScriptedServer) -> None:
    watched = server.client_does(lambda client: list(client.watch_run("runs/1")))
    server.stream("RunService", "WatchRun", end=grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(OsaRpcError) as caught:
        watched.result(IN_TIME)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_a_mutation_is_sent_again_with_the_same_request_id(server: ScriptedServer) -> None:
    run = server.client_does(lambda client: client.submit_deposition("depositions/1"))
    first = server.fail("DepositionService", "SubmitDeposition", grpc.StatusCode.UNAVAILABLE)
    second = server.answer(
        "DepositionService", "SubmitDeposition", pb.SubmitDepositionResponse(run=pb.Run(name="runs/1"))
    )
    assert run.result(IN_TIME).name == "runs/1"
    assert first == second
    assert first.request_id


def test_a_mutation_is_not_sent_for_ever(server: ScriptedServer) -> None:
    cancelled = server.client_does(lambda client: client.cancel_run("runs/1", request_id="mine"))
    requests = [server.fail("RunService", "CancelRun", grpc.StatusCode.UNAVAILABLE) for _ in range(4)]
    with pytest.raises(OsaRpcError):
        cancelled.result(IN_TIME)
    assert {request.request_id for request in requests} == {"mine"}


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED]
)
def test_a_mutation_that_was_answered_is_not_sent_again(
    server: ScriptedServer, code: grpc.StatusCode
) -> None:
    deleted = server.client_does(lambda client: client.delete_deposition("depositions/1"))
    server.fail("DepositionService", "DeleteDeposition", code)
    with pytest.raises(OsaRpcError) as caught:
        deleted.result(IN_TIME)
    assert caught.value.code is code


def test_a_read_is_left_to_the_channel_to_retry(server: ScriptedServer) -> None:
    run = server.client_does(lambda client: client.get_run("runs/1"))
    server.fail("RunService", "GetRun", grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(OsaRpcError):
        run.result(IN_TIME)


def test_an_error_has_its_reason_and_field_paths(server: ScriptedServer) -> None:
    created = server.client_does(lambda client: client.create_deposition("conventions/a@1.0.0"))
    wrong = InvalidRequestError(
        [Violation(at=FieldPath("deposition.metadata.title"), message="expected string, found 3")]
    )
    trailers, code, _ = trailers_of(wrong)
    server.fail("DepositionService", "CreateDeposition", code, trailers)
    with pytest.raises(OsaRpcError) as caught:
        created.result(IN_TIME)
    assert caught.value.reason == "INVALID_FIELD"
    assert [v.field for v in caught.value.violations] == ["deposition.metadata.title"]


def test_a_number_that_would_change_on_the_way_is_refused_before_anything_is_sent(
    server: ScriptedServer,
) -> None:
    created = server.client_does(
        lambda client: client.create_deposition("conventions/a@1.0.0", metadata={"n": 2**53 + 1})
    )
    with pytest.raises(InvalidRequestError, match=r"metadata\.n"):
        created.result(IN_TIME)


def test_lists_go_through_all_pages(server: ScriptedServer) -> None:
    listed = server.client_does(lambda client: [run.name for run in client.list_runs(page_size=2)])
    first = server.answer(
        "RunService",
        "ListRuns",
        pb.ListRunsResponse(runs=[pb.Run(name="runs/3"), pb.Run(name="runs/2")], next_page_token="more"),
    )
    second = server.answer("RunService", "ListRuns", pb.ListRunsResponse(runs=[pb.Run(name="runs/1")]))
    assert listed.result(IN_TIME) == ["runs/3", "runs/2", "runs/1"]
    assert (first.page_size, first.page_token, second.page_token) == (2, "", "more")


def test_a_log_goes_on_at_the_next_byte_of_the_same_attempt(server: ScriptedServer) -> None:
    read = server.client_does(
        lambda client: b"".join(piece.data for piece in client.read_run_log(EXECUTION, follow=True))
    )
    server.answer(
        "RunService",
        "GetRun",
        pb.GetRunResponse(run=pb.Run(executions=[pb.HookExecution(name=EXECUTION, attempt=2)])),
    )
    first = server.stream(
        "RunService",
        "ReadRunLog",
        pb.ReadRunLogResponse(offset=0, text="é"),
        pb.ReadRunLogResponse(offset=2, data=b"\xff\n"),
        end=grpc.StatusCode.UNAVAILABLE,
    )
    second = server.stream("RunService", "ReadRunLog", pb.ReadRunLogResponse(offset=4, text="end"))
    assert read.result(IN_TIME) == "é".encode() + b"\xff\nend"
    assert (first.attempt, first.offset, second.attempt, second.offset) == (2, 0, 2, 4)


def test_a_gap_in_a_log_comes_with_the_bytes_that_follow_it(server: ScriptedServer) -> None:
    read = server.client_does(
        lambda client: [
            (piece.offset, piece.data, piece.gap) for piece in client.read_run_log(EXECUTION, attempt=1)
        ]
    )
    server.stream(
        "RunService",
        "ReadRunLog",
        pb.ReadRunLogResponse(offset=0, text="one "),
        pb.ReadRunLogResponse(offset=4, text="two", gap=True),
        end=grpc.StatusCode.UNAVAILABLE,
    )
    second = server.stream("RunService", "ReadRunLog", pb.ReadRunLogResponse(offset=7, gap=True))
    assert read.result(IN_TIME) == [(0, b"one ", False), (4, b"two", True), (7, b"", True)]
    assert second.offset == 7


def test_a_run_is_retried_approved_and_rejected(server: ScriptedServer) -> None:
    retried = server.client_does(lambda client: client.retry_run("runs/1"))
    asked = server.answer("RunService", "RetryRun", pb.RetryRunResponse(run=pb.Run(name="runs/2")))
    assert (retried.result(IN_TIME).name, asked.name) == ("runs/2", "runs/1")
    reviewed = pb.ReviewRunResponse(run=pb.Run(name="runs/2"))
    server.client_does(lambda client: client.approve_run("runs/2", reason="fine"))
    approval = server.answer("RunService", "ReviewRun", reviewed)
    server.client_does(lambda client: client.reject_run("runs/2", reason="blurred"))
    rejection = server.answer("RunService", "ReviewRun", reviewed)
    assert [(one.name, one.decision, one.reason) for one in (approval, rejection)] == [
        ("runs/2", pb.REVIEW_DECISION_APPROVE, "fine"),
        ("runs/2", pb.REVIEW_DECISION_REJECT, "blurred"),
    ]
    assert len({one.request_id for one in (asked, approval, rejection)}) == 3


def pieces(content: bytes, *, at: int = 0, size: int = 4) -> list[pb.DownloadFileResponse]:
    file = pb.DepositionFile(name=FILE, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    answers = [pb.DownloadFileResponse(file=file, offset=at)]
    answers += [
        pb.DownloadFileResponse(offset=start, data=content[start : start + size])
        for start in range(at, len(content), size)
    ]
    return answers


def test_a_download_goes_on_at_the_next_byte_and_is_checked(server: ScriptedServer, tmp_path: Path) -> None:
    content = bytes(range(20))
    done = server.client_does(lambda client: client.download_file(FILE, tmp_path / "a.cif"))
    server.stream("DepositionService", "DownloadFile", *pieces(content)[:3], end=grpc.StatusCode.UNAVAILABLE)
    second = server.stream("DepositionService", "DownloadFile", *pieces(content, at=8))
    assert done.result(IN_TIME).size_bytes == 20
    assert second.offset == 8
    assert (tmp_path / "a.cif").read_bytes() == content


def test_a_download_that_is_not_the_file_leaves_nothing(server: ScriptedServer, tmp_path: Path) -> None:
    answers = pieces(b"what it should be")
    answers[1].data = b"bad!"
    done = server.client_does(lambda client: client.download_file(FILE, tmp_path / "a.cif"))
    server.stream("DepositionService", "DownloadFile", *answers)
    with pytest.raises(DownloadError, match="SHA-256"):
        done.result(IN_TIME)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_replaced_meanwhile_is_not_pieced_together(
    server: ScriptedServer, tmp_path: Path
) -> None:
    done = server.client_does(lambda client: client.download_file(FILE, tmp_path / "a.cif"))
    server.stream(
        "DepositionService", "DownloadFile", *pieces(b"12345678")[:2], end=grpc.StatusCode.UNAVAILABLE
    )
    server.stream("DepositionService", "DownloadFile", *pieces(b"abcdefgh", at=4))
    with pytest.raises(DownloadError, match="replaced"):
        done.result(IN_TIME)


def receive(rpc: object, *, chunks: int) -> tuple[pb.UploadFileHeader, bytes]:
    header = rpc.take_request().header  # type: ignore[attr-defined]
    return header, b"".join(rpc.take_request().chunk for _ in range(chunks))  # type: ignore[attr-defined]


def stored(content: bytes) -> pb.UploadFileResponse:
    return pb.UploadFileResponse(
        file=pb.DepositionFile(name=FILE, sha256=hashlib.sha256(content).hexdigest())
    )


def test_an_upload_says_its_size_and_checksum_and_comes_in_pieces(
    server: ScriptedServer, tmp_path: Path
) -> None:
    content = b"x" * (PIECE_BYTES + 1)
    (tmp_path / "a.cif").write_bytes(content)
    progress: list[tuple[int, int | None]] = []
    done = server.client_does(
        lambda client: client.upload_file(
            "depositions/1", tmp_path / "a.cif", progress=lambda sent, total: progress.append((sent, total))
        )
    )
    rpc = server.take_upload()
    header, received = receive(rpc, chunks=2)
    rpc.terminate(stored(content), (), grpc.StatusCode.OK, "")
    assert done.result(IN_TIME).name == FILE
    assert received == content
    assert (header.file_name, header.size_bytes, header.sha256) == (
        "a.cif",
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
    assert progress == [(at, len(content)) for at in (0, PIECE_BYTES, len(content))]


def test_an_upload_that_was_not_answered_is_sent_again_whole(server: ScriptedServer) -> None:
    source = io.BytesIO(b"skipped,sent")
    source.seek(8)
    done = server.client_does(lambda client: client.upload_file("depositions/1", source, file_name="a.cif"))
    headers = []
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK):
        rpc = server.take_upload()
        header, received = receive(rpc, chunks=1)
        assert received == b"sent"
        headers.append(header)
        rpc.terminate(stored(b"sent") if code is grpc.StatusCode.OK else None, (), code, "")
    assert done.result(IN_TIME).name == FILE
    assert headers[0] == headers[1]


class Pipe(io.BytesIO):
    """Bytes that come once."""

    def seekable(self) -> bool:
        return False


def test_what_can_be_read_once_only_is_sent_once_only(server: ScriptedServer) -> None:
    done = server.client_does(
        lambda client: client.upload_file("depositions/1", Pipe(b"once"), file_name="a.cif")
    )
    rpc = server.take_upload()
    header, _ = receive(rpc, chunks=1)
    rpc.terminate(None, (), grpc.StatusCode.UNAVAILABLE, "")
    with pytest.raises(OsaRpcError):
        done.result(IN_TIME)
    assert not header.sha256
    assert not header.HasField("size_bytes")


def test_an_upload_that_was_stored_otherwise_is_an_error(server: ScriptedServer) -> None:
    done = server.client_does(
        lambda client: client.upload_file("depositions/1", Pipe(b"once"), file_name="a.cif")
    )
    rpc = server.take_upload()
    receive(rpc, chunks=1)
    rpc.terminate(stored(b"else"), (), grpc.StatusCode.OK, "")
    with pytest.raises(UploadError, match="SHA-256"):
        done.result(IN_TIME)


def test_a_source_without_a_name_needs_one(server: ScriptedServer) -> None:
    done = server.client_does(lambda client: client.upload_file("depositions/1", b"content"))
    with pytest.raises(ValueError, match="file_name"):
        done.result(IN_TIME)


def test_a_convention_is_watched_until_it_is_ready(server: ScriptedServer) -> None:
    ready = server.client_does(lambda client: client.wait_until_ready("conventions/a@1.0.0"))
    pending = pb.Convention(state=pb.CONVENTION_STATE_PENDING)
    for end in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE):
        server.stream(
            "ConventionService",
            "WatchConvention",
            pb.WatchConventionResponse(convention=pending),
            end=end,
        )
    server.stream(
        "ConventionService",
        "WatchConvention",
        pb.WatchConventionResponse(convention=pb.Convention(state=pb.CONVENTION_STATE_READY)),
    )
    assert ready.result(IN_TIME).state == pb.CONVENTION_STATE_READY
