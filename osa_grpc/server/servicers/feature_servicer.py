from typing import Final

import grpc.aio

from osa_grpc.application.querying import FeatureQuerying
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.server.servicers.answering import answer_page
from osa_grpc.wire import pb, tokens
from osa_grpc.wire.column_codec import query_column_to_proto
from osa_grpc.wire.feature_codec import feature_table_to_proto, row_to_proto
from osa_grpc.wire.resource_names import feature_table

_TABLE: Final = FieldPath("feature_table")
_LISTING: Final = tokens.page_binding("ListFeatureTables")


class FeatureServicer(pb.FeatureServiceServicer):
    """Serves FeatureService."""

    def __init__(self, *, querying: FeatureQuerying) -> None:
        self._querying = querying

    async def GetFeatureTable(
        self, request: pb.GetFeatureTableRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.GetFeatureTableResponse:
        """Return it."""
        table = await self._querying.get(feature_table(request.name))
        return pb.GetFeatureTableResponse(feature_table=feature_table_to_proto(table))

    async def ListFeatureTables(
        self, request: pb.ListFeatureTablesRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.ListFeatureTablesResponse:
        """Return a page."""
        tables, token = await answer_page(request, _LISTING, self._querying.list, feature_table_to_proto)
        return pb.ListFeatureTablesResponse(feature_tables=tables, next_page_token=token)

    async def QueryFeatures(
        self, request: pb.QueryFeaturesRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> pb.QueryFeaturesResponse:
        """Return a page of rows."""
        hook = feature_table(request.feature_table, at=_TABLE)
        binding = _binding(request)
        columns, page = await self._querying.query(
            hook,
            filter=request.filter,
            order_by=request.order_by,
            columns=list(request.columns),
            page_size=request.page_size,
            after=tokens.read_page_token(request.page_token, binding),
        )
        return pb.QueryFeaturesResponse(
            columns=[query_column_to_proto(column) for column in columns],
            rows=[row_to_proto(row, columns) for row in page.items],
            next_page_token=tokens.page_token(binding, page.after),
        )


def _binding(request: pb.QueryFeaturesRequest) -> tokens.PageBinding:
    """Return what a page token is bound to: the whole query, but for size and token."""
    return tokens.page_binding(
        "QueryFeatures", request.feature_table, request.filter, request.order_by, *request.columns
    )
