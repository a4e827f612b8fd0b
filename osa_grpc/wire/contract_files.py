"""The contract as files, from what is installed: all that a client in another language is generated from.

The `.proto` files lie beside the Python that was generated from them, ours and Google's alike. Those of `google/protobuf` are left
out: every generator brings its own, which must be those of its own version. The descriptor set has them.
"""

from importlib.resources import files
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

_SET: Final = "opensciencearchive/v1/contract.binpb"
_OF_GENERATORS: Final = "google/protobuf/"


def contract_files() -> dict[str, bytes]:
    """Return the contract, what errors are made of and all they import, by the names they are imported by.

    Raises:
        FileNotFoundError: a package is installed without its `.proto` files.
    """
    names = [file.name for file in descriptor_set().file if not file.name.startswith(_OF_GENERATORS)]
    return {name: _installed(name) for name in sorted(names)}


def descriptor_set() -> FileDescriptorSet:
    """Return the same as protoc compiles it, with `google/protobuf`; each file after what it imports, ours with their comments."""
    return FileDescriptorSet.FromString(_installed(_SET))


def _installed(name: str) -> bytes:
    folder, _, file = name.rpartition("/")
    source = files(folder.replace("/", ".")) / file
    if not source.is_file():
        raise FileNotFoundError(f"{name} is not installed beside the Python that was generated from it")
    return source.read_bytes()
