"""Small clients in several languages, built from the contract alone, each with a server of its own and real containers.

`make test-clients` prints the table. `OSA_TEST_LANGUAGES` says which; otherwise those whose tool chain is here.
"""

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from osa_grpc.cli.conventions import convention_from_json
from osa_grpc.client import Client
from osa_grpc.runtimes.hook_image import build_hook_image
from tests.clients import conformance
from tests.clients.conformance import Result
from tests.fixtures.documents import ROOT
from tests.fixtures.server_process import Serving

EXAMPLE = ROOT / "examples" / "pdb-structures"


@pytest.fixture(scope="module")
def results(pytestconfig: pytest.Config) -> Iterator[list[Result]]:
    """What became of the clients; shown in the end."""
    collected: list[Result] = []
    yield collected
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        conformance.show(collected)


def test_whatever_a_client_sees_otherwise_is_a_no() -> None:
    wanted = conformance.expected()
    assert conformance.differences(wanted, wanted) == {}
    assert conformance.differences({}, wanted).keys() == wanted.keys()
    seen = copy.deepcopy(wanted) | {"watch": wanted["watch"] | {"each_once": 1}, "dance": {}}
    seen["errors"]["cancelled"]["code"] = None  # a library may have nothing to show
    seen["errors"]["bad_name"]["fields"] = []
    assert conformance.differences(seen, wanted).keys() == {"watch", "dance", "errors"}


async def convention_file(docker_host: str, tmp_path: Path) -> Path:
    images = {}
    for folder in (EXAMPLE / "hooks").iterdir():
        built = await build_hook_image(folder, docker_host=docker_host, say=lambda _: None)
        images[folder.name] = built.image_id
    convention = convention_from_json((EXAMPLE / "convention.json").read_text(), images=images)
    path = tmp_path / "convention.json"
    path.write_text(json.dumps(MessageToDict(convention)))
    return path


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("language", conformance.languages())
async def test_a_client_in_another_language_goes_the_whole_road(
    language: str, serving: Serving, docker_host: str, tmp_path: Path, results: list[Result]
) -> None:
    result = Result(language=language)
    results.append(result)
    if missing := conformance.missing_tools(language):
        result.skipped = f"not built, there is no {' and no '.join(missing)} on this machine"
        pytest.skip(result.skipped)
    wanted = conformance.expected()
    result.wrong = dict.fromkeys(wanted, conformance.NOT_REACHED)
    result.build_seconds, result.from_nothing = await conformance.build(language)
    convention = await convention_file(docker_host, tmp_path)
    server = await serving.start()
    result.seen, said = await conformance.go_the_road(language, address=server.address, convention=convention)
    result.wrong = conformance.differences(result.seen, wanted)
    assert result.wrong == {}, said
    async with Client(server.address) as client:
        drafts = [draft async for draft in client.list_depositions(filter='state = "DRAFT"')]
    # The upload that was cancelled left nothing behind.
    assert [draft.file_count for draft in drafts] == [0]
