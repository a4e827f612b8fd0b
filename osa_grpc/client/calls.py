"""Every unary call: which RPC, what is sent, and what of the answer is handed on. Both clients send these."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.struct_pb2 import Struct

from osa_grpc.client.channel import Stubs
from osa_grpc.client.rows import QueryPage, page_from_proto
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.wire import pb
from osa_grpc.wire.struct_codec import struct_from_json

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Call(Generic[RequestT, ResponseT, ResultT]):
    """A unary call that is ready to be sent."""

    rpc: Callable[[Stubs], grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]]
    request: RequestT
    take: Callable[[ResponseT], ResultT]
    is_mutation: bool = False
    """It has a request id, so the same request sent again gets the same answer."""


@dataclass(frozen=True, kw_only=True)
class Listing(Generic[ResultT]):
    """A call that answers in pages."""

    page: Callable[[str], Call[Any, Any, tuple[Sequence[ResultT], str]]]
    """Gives the call for a page token: its items, and the token of the next page, empty after the last."""


def new_request_id() -> str:
    """Return a fresh name for a request."""
    return str(uuid.uuid4())


def get_server_info() -> Call[pb.GetServerInfoRequest, pb.GetServerInfoResponse, pb.ServerInfo]:
    """Ask what the server is and can do."""
    return Call(
        rpc=lambda stubs: stubs.server.GetServerInfo,
        request=pb.GetServerInfoRequest(),
        take=lambda answer: answer.server_info,
    )


def register_convention(
    convention_id: str, convention: pb.Convention, *, validate_only: bool, request_id: str | None
) -> Call[pb.RegisterConventionRequest, pb.RegisterConventionResponse, pb.Convention]:
    """Register a convention."""
    return Call(
        rpc=lambda stubs: stubs.conventions.RegisterConvention,
        request=pb.RegisterConventionRequest(
            convention_id=convention_id,
            convention=convention,
            validate_only=validate_only,
            request_id=request_id or new_request_id(),
        ),
        take=lambda answer: answer.convention,
        is_mutation=True,
    )


def get_convention(
    name: str,
) -> Call[pb.GetConventionRequest, pb.GetConventionResponse, pb.Convention]:
    """Get a convention."""
    return Call(
        rpc=lambda stubs: stubs.conventions.GetConvention,
        request=pb.GetConventionRequest(name=name),
        take=lambda answer: answer.convention,
    )


def list_conventions(*, page_size: int) -> Listing[pb.Convention]:
    """List conventions."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.conventions.ListConventions,
            request=pb.ListConventionsRequest(page_size=page_size, page_token=token),
            take=lambda answer: (answer.conventions, answer.next_page_token),
        )
    )


def create_deposition(
    convention: str, *, metadata: Mapping[str, Any], request_id: str | None
) -> Call[pb.CreateDepositionRequest, pb.CreateDepositionResponse, pb.Deposition]:
    """Make a draft."""
    return Call(
        rpc=lambda stubs: stubs.depositions.CreateDeposition,
        request=pb.CreateDepositionRequest(
            deposition=pb.Deposition(convention=convention, metadata=_metadata(metadata)),
            request_id=request_id or new_request_id(),
        ),
        take=lambda answer: answer.deposition,
        is_mutation=True,
    )


def update_deposition(
    name: str,
    *,
    metadata: Mapping[str, Any],
    fields: Sequence[str] | None,
    etag: str,
    request_id: str | None,
) -> Call[pb.UpdateDepositionRequest, pb.UpdateDepositionResponse, pb.Deposition]:
    """Change a draft's metadata: all of it, or some fields."""
    request = pb.UpdateDepositionRequest(
        deposition=pb.Deposition(name=name, metadata=_metadata(metadata), etag=etag),
        request_id=request_id or new_request_id(),
    )
    paths = ["metadata"] if fields is None else [f"metadata.{field}" for field in fields]
    request.update_mask.paths.extend(paths)
    return Call(
        rpc=lambda stubs: stubs.depositions.UpdateDeposition,
        request=request,
        take=lambda answer: answer.deposition,
        is_mutation=True,
    )


def get_deposition(
    name: str,
) -> Call[pb.GetDepositionRequest, pb.GetDepositionResponse, pb.Deposition]:
    """Get a deposition."""
    return Call(
        rpc=lambda stubs: stubs.depositions.GetDeposition,
        request=pb.GetDepositionRequest(name=name),
        take=lambda answer: answer.deposition,
    )


def list_depositions(
    *,
    filter: str,  # noqa: A002 - the contract's word
    order_by: str,
    page_size: int,
) -> Listing[pb.Deposition]:
    """List depositions."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.depositions.ListDepositions,
            request=pb.ListDepositionsRequest(
                filter=filter, order_by=order_by, page_size=page_size, page_token=token
            ),
            take=lambda answer: (answer.depositions, answer.next_page_token),
        )
    )


def delete_deposition(
    name: str, *, etag: str, request_id: str | None
) -> Call[pb.DeleteDepositionRequest, pb.DeleteDepositionResponse, None]:
    """Delete a draft."""
    return Call(
        rpc=lambda stubs: stubs.depositions.DeleteDeposition,
        request=pb.DeleteDepositionRequest(name=name, etag=etag, request_id=request_id or new_request_id()),
        take=_nothing,
        is_mutation=True,
    )


def list_files(deposition: str, *, page_size: int) -> Listing[pb.DepositionFile]:
    """List a deposition's files."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.depositions.ListFiles,
            request=pb.ListFilesRequest(parent=deposition, page_size=page_size, page_token=token),
            take=lambda answer: (answer.files, answer.next_page_token),
        )
    )


def delete_file(
    name: str, *, request_id: str | None
) -> Call[pb.DeleteFileRequest, pb.DeleteFileResponse, None]:
    """Delete a file of a draft."""
    return Call(
        rpc=lambda stubs: stubs.depositions.DeleteFile,
        request=pb.DeleteFileRequest(name=name, request_id=request_id or new_request_id()),
        take=_nothing,
        is_mutation=True,
    )


def submit_deposition(
    name: str, *, etag: str, request_id: str | None
) -> Call[pb.SubmitDepositionRequest, pb.SubmitDepositionResponse, pb.Run]:
    """Submit a draft."""
    return Call(
        rpc=lambda stubs: stubs.depositions.SubmitDeposition,
        request=pb.SubmitDepositionRequest(name=name, etag=etag, request_id=request_id or new_request_id()),
        take=lambda answer: answer.run,
        is_mutation=True,
    )


def get_run(name: str) -> Call[pb.GetRunRequest, pb.GetRunResponse, pb.GetRunResponse]:
    """Get a run, with the token from which a watch continues."""
    return Call(
        rpc=lambda stubs: stubs.runs.GetRun,
        request=pb.GetRunRequest(name=name),
        take=lambda answer: answer,
    )


def list_runs(
    *,
    filter: str,  # noqa: A002 - the contract's word
    order_by: str,
    page_size: int,
) -> Listing[pb.Run]:
    """List runs."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.runs.ListRuns,
            request=pb.ListRunsRequest(
                filter=filter, order_by=order_by, page_size=page_size, page_token=token
            ),
            take=lambda answer: (answer.runs, answer.next_page_token),
        )
    )


def cancel_run(
    name: str, *, request_id: str | None
) -> Call[pb.CancelRunRequest, pb.CancelRunResponse, pb.Run]:
    """Ask a run to stop."""
    return Call(
        rpc=lambda stubs: stubs.runs.CancelRun,
        request=pb.CancelRunRequest(name=name, request_id=request_id or new_request_id()),
        take=lambda answer: answer.run,
        is_mutation=True,
    )


def retry_run(name: str, *, request_id: str | None) -> Call[pb.RetryRunRequest, pb.RetryRunResponse, pb.Run]:
    """Submit a run's deposition once more."""
    return Call(
        rpc=lambda stubs: stubs.runs.RetryRun,
        request=pb.RetryRunRequest(name=name, request_id=request_id or new_request_id()),
        take=lambda answer: answer.run,
        is_mutation=True,
    )


def review_run(
    name: str, *, decision: pb.ReviewDecision.ValueType, reason: str, request_id: str | None
) -> Call[pb.ReviewRunRequest, pb.ReviewRunResponse, pb.Run]:
    """Decide about a run that waits for a review."""
    return Call(
        rpc=lambda stubs: stubs.runs.ReviewRun,
        request=pb.ReviewRunRequest(
            name=name, decision=decision, reason=reason, request_id=request_id or new_request_id()
        ),
        take=lambda answer: answer.run,
        is_mutation=True,
    )


def get_record(name: str) -> Call[pb.GetRecordRequest, pb.GetRecordResponse, pb.Record]:
    """Get a record."""
    return Call(
        rpc=lambda stubs: stubs.records.GetRecord,
        request=pb.GetRecordRequest(name=name),
        take=lambda answer: answer.record,
    )


def list_records(
    *,
    filter: str,  # noqa: A002 - the contract's word
    order_by: str,
    page_size: int,
) -> Listing[pb.Record]:
    """List records."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.records.ListRecords,
            request=pb.ListRecordsRequest(
                filter=filter, order_by=order_by, page_size=page_size, page_token=token
            ),
            take=lambda answer: (answer.records, answer.next_page_token),
        )
    )


def get_feature_table(
    name: str,
) -> Call[pb.GetFeatureTableRequest, pb.GetFeatureTableResponse, pb.FeatureTable]:
    """Get a feature table."""
    return Call(
        rpc=lambda stubs: stubs.features.GetFeatureTable,
        request=pb.GetFeatureTableRequest(name=name),
        take=lambda answer: answer.feature_table,
    )


def list_feature_tables(*, page_size: int) -> Listing[pb.FeatureTable]:
    """List feature tables."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.features.ListFeatureTables,
            request=pb.ListFeatureTablesRequest(page_size=page_size, page_token=token),
            take=lambda answer: (answer.feature_tables, answer.next_page_token),
        )
    )


def query_features(
    feature_table: str,
    *,
    filter: str,  # noqa: A002 - the contract's word
    order_by: str,
    columns: Sequence[str],
    page_size: int,
) -> Listing[QueryPage]:
    """Query a feature table; each page is one item."""

    def take(answer: pb.QueryFeaturesResponse) -> tuple[Sequence[QueryPage], str]:
        return [page_from_proto(answer)], answer.next_page_token

    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.features.QueryFeatures,
            request=pb.QueryFeaturesRequest(
                feature_table=feature_table,
                filter=filter,
                order_by=order_by,
                columns=columns,
                page_size=page_size,
                page_token=token,
            ),
            take=take,
        )
    )


def _metadata(metadata: Mapping[str, Any]) -> Struct:
    return struct_from_json(metadata, at=FieldPath("deposition.metadata"))


def _nothing(_: object) -> None:
    return None
