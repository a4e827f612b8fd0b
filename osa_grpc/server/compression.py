"""Compressed answers for those who ask.

Compression costs the server more than a fast network saves, so nobody gets it unasked. What gRPC clients say they accept says
nothing: most accept gzip without being asked to, and grpc.aio does not show it. So it is asked for in metadata, by those who can
take it.
"""

import grpc

from osa_grpc.server.rpc_wrapping import Rpc
from osa_grpc.wire.transport import RESPONSE_ENCODING_KEY


async def compressed_if_asked(rpc: Rpc) -> None:
    """Have the call's answers compressed, if its metadata asks for it."""
    if (RESPONSE_ENCODING_KEY, "gzip") in tuple(rpc.context.invocation_metadata() or ()):
        rpc.context.set_compression(grpc.Compression.Gzip)
        if not rpc.is_streaming:  # grpc.aio forgets it for a single answer unless the headers go first
            await rpc.context.send_initial_metadata(())
