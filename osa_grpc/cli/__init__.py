"""The command line: parse, call the client, show the answer."""

import os

# Read when gRPC is imported. Below it writes to stderr what its peers say, as they say it: line ends and terminals' commands too.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
