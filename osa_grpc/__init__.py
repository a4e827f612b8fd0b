"""An async gRPC service with code-generated contracts for science archives."""

from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from osa_grpc.client import BlockingClient, Client, OsaRpcError

__all__ = ["BlockingClient", "Client", "OsaRpcError", "__version__"]
__version__ = version("osa-grpc")


def __getattr__(name: str) -> object:
    """Import the client when it is asked for: the server does without."""
    if name in {"BlockingClient", "Client", "OsaRpcError"}:
        from osa_grpc import client  # noqa: PLC0415 - see above

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is imported late, too, for whoever completes names."""
    return sorted({*globals(), *__all__})
