"""docs/transport.md and docs/service-config.json say what server and clients do.

`python -m tests.architecture.test_transport_doc` writes the service config.
"""

import json
import re

from osa_grpc.wire import transport
from osa_grpc.wire.contract_files import contract_files
from osa_grpc.wire.status import MAX_STATUS_BYTES
from tests.fixtures.documents import ROOT

CONFIG = ROOT / "docs" / "service-config.json"
PAGE = (ROOT / "docs" / "transport.md").read_text()
SAID = re.compile(r"<!-- ([A-Z_]+) -->([^`\s|(,.:;]+(?: [KM]?i?[sB]+)?)")


def test_the_service_config_is_that_of_our_own_clients() -> None:
    assert CONFIG.read_text() == transport.service_config() + "\n"


def test_the_service_config_retries_reads_and_nothing_else() -> None:
    [method_config] = json.loads(CONFIG.read_text())["methodConfig"]
    named = {(name["service"], name["method"]) for name in method_config["name"]}
    assert named == set(transport.reads())
    assert ("opensciencearchive.v1.RunService", "WatchRun") in named
    assert ("opensciencearchive.v1.RunService", "CancelRun") not in named
    assert method_config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]


def test_the_page_has_the_numbers_of_the_code() -> None:
    def seconds(value: object) -> str:
        return f"{value.total_seconds():g} s"  # type: ignore[attr-defined]

    assert dict(SAID.findall(PAGE)) == {
        "CLIENT_KEEPALIVE": seconds(transport.CLIENT_KEEPALIVE),
        "KEEPALIVE_TIMEOUT": seconds(transport.KEEPALIVE_TIMEOUT),
        "MIN_PING_INTERVAL": seconds(transport.MIN_PING_INTERVAL),
        "SERVER_KEEPALIVE": seconds(transport.SERVER_KEEPALIVE),
        "MAX_MESSAGE_BYTES": f"{transport.MAX_MESSAGE_BYTES // 2**20} MiB",
        "MAX_METADATA_BYTES": f"{transport.MAX_METADATA_BYTES // 2**10} KiB",
        "RESPONSE_ENCODING_KEY": transport.RESPONSE_ENCODING_KEY,
    }
    assert MAX_STATUS_BYTES == 4096


def test_the_protos_that_node_loads_are_exported() -> None:
    exported = contract_files()
    named = re.findall(r'"(google/[\w/.]+)"', PAGE)
    assert named == ["google/rpc/status.proto", "google/rpc/error_details.proto"]
    assert set(named) <= set(exported)
    [folder] = re.findall(r'readdirSync\("contract/([\w/]+)"\)', PAGE)
    assert any(name.startswith(f"{folder}/") for name in exported)
    ours = [content for name, content in exported.items() if name.startswith(folder)]
    assert not any(b'import "google/rpc/' in content for content in ours), "the page says that none does"


if __name__ == "__main__":
    CONFIG.write_text(transport.service_config() + "\n")
