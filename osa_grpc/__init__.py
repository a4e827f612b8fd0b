"""An async gRPC service with code-generated contracts for science archives."""

from importlib.metadata import version

__version__ = version("osa-grpc")
