"""An async gRPC service with code-generated contracts for science archives."""
