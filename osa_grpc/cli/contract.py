"""`osa-grpc contract`: what a client in another language is made from. Works without a server."""

from pathlib import Path
from typing import Final

import click

from osa_grpc.cli.invocation import Invocation, output_option
from osa_grpc.wire.contract_files import contract_files, descriptor_set
from osa_grpc.wire.transport import service_config

_SET_NAME: Final = "contract.binpb"
_SERVICE_CONFIG_NAME: Final = "service-config.json"


@click.group()
def contract() -> None:
    """Write the contract, to make a client in another language."""


@contract.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--descriptor-set",
    "with_set",
    is_flag=True,
    help=f"Write DIR/{_SET_NAME} too: all of it compiled, for grpcurl -protoset, buf curl --schema and their like.",
)
@output_option
def export(*, directory: Path, with_set: bool) -> None:
    """Write the contract's .proto files into DIR, with everything they import, and the service config that retries reads.

    DIR is made if it is not there; files that are there from before are replaced. The files of google/protobuf are not written:
    protoc, buf and the generators have their own. Then, for example:

    protoc -I DIR --go_out=. --go-grpc_out=. DIR/opensciencearchive/v1/*.proto

    Most languages have what is imported of google/api and google/rpc as a package, for Python: pip install
    googleapis-common-protos. Else generate DIR/google/*/*.proto too.
    """
    written = {
        directory / name: content
        for name, content in (
            *contract_files().items(),
            (_SERVICE_CONFIG_NAME, f"{service_config()}\n".encode()),
            *([(_SET_NAME, descriptor_set().SerializeToString(deterministic=True))] if with_set else []),
        )
    }
    for path, content in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    click.get_current_context().ensure_object(Invocation).open_output().result(
        {"directory": str(directory), "files": [path.relative_to(directory).as_posix() for path in written]},
        plain=f"Wrote {len(written)} files into {directory}.",
    )
