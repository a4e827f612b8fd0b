import grpc.aio

from osa_grpc.application.listing import RECORD_COLUMNS
from osa_grpc.application.storage_ports import Storage
from osa_grpc.domain.errors import NotFoundError
from osa_grpc.server.servicers.answering import answer_list
from osa_grpc.wire import pb
from osa_grpc.wire.record_codec import record_to_proto
from osa_grpc.wire.resource_names import record_ref


class RecordServicer(pb.RecordServiceServicer):
    """Serves RecordService."""

    def __init__(self, *, storage: Storage) -> None:
        self._storage = storage

    async def GetRecord(
        self, request: pb.GetRecordRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetRecordResponse:
        """Return it."""
        ref = record_ref(request.name)
        async with self._storage.reading() as tx:
            found = await tx.records.find(ref)
        if found is None:
            raise NotFoundError(resource_type="opensciencearchive.org/Record", name=ref.name)
        return pb.GetRecordResponse(record=record_to_proto(found))

    async def ListRecords(
        self, request: pb.ListRecordsRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListRecordsResponse:
        """Return a page."""
        async with self._storage.reading() as tx:
            records, token = await answer_list(request, RECORD_COLUMNS, tx.records.list, record_to_proto)
        return pb.ListRecordsResponse(records=records, next_page_token=token)
