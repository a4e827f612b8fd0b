"""The Python client: an async one, and one that blocks, for notebooks and scripts."""

from osa_grpc.client.backoff import Backoff
from osa_grpc.client.blocking_client import BlockingClient
from osa_grpc.client.client import Client
from osa_grpc.client.file_download import DownloadError
from osa_grpc.client.log_reading import LogPiece
from osa_grpc.client.resumption import Interruption
from osa_grpc.client.rows import QueryPage, RowValue, UnknownKindError
from osa_grpc.client.run_watch import WatchGapError
from osa_grpc.client.uploading import UploadError
from osa_grpc.wire.rpc_error import OsaRpcError

__all__ = [
    "Backoff",
    "BlockingClient",
    "Client",
    "DownloadError",
    "Interruption",
    "LogPiece",
    "OsaRpcError",
    "QueryPage",
    "RowValue",
    "UnknownKindError",
    "UploadError",
    "WatchGapError",
]
