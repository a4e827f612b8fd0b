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
from tests.clients.conformance import LATER_VALUES, NEWER, Result
from tests.clients.newer_front import newer_front
from tests.fixtures.documents import ROOT
from tests.fixtures.server_process import Serving

EXAMPLE = ROOT / "examples" / "pdb-structures"


@pytest.fixture(scope="module")
def results(pytestconfig: pytest.Config) -> Iterator[dict[str, Result]]:
    """What became of the clients, by language; shown in the end."""
    collected: dict[str, Result] = {}
    yield collected
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        conformance.show(list(collected.values()))


@pytest.fixture
async def result(language: str, results: dict[str, Result]) -> Result:
    """The client in a language, built once."""
    result = results.setdefault(language, Result(language=language))
    if missing := conformance.missing_tools(language):
        result.skipped = f"not built, there is no {' and no '.join(missing)} on this machine"
        pytest.skip(result.skipped)
    if result.build_seconds is None:
        result.build_seconds, result.from_nothing = await conformance.build(language)
    return result


def test_whatever_a_client_sees_otherwise_is_a_no() -> None:
    wanted = conformance.expected()
    assert conformance.differences(wanted, wanted) == {}
    assert conformance.differences({}, wanted).keys() == wanted.keys()
    seen = copy.deepcopy(wanted) | {"watch": wanted["watch"] | {"each_once": 1}, "dance": {}}
    seen["errors"]["cancelled"]["code"] = None  # a library may have nothing to show
    seen["errors"]["bad_name"]["fields"] = []
    assert conformance.differences(seen, wanted).keys() == {"watch", "dance", "errors"}


def test_what_was_not_tried_is_a_no_as_well() -> None:
    result = Result(language="a language")
    assert result.wrong.keys() == {*conformance.expected(), NEWER, LATER_VALUES}
    result.judge({"query": "saw nothing"})
    assert result.wrong.keys() == {"query", NEWER, LATER_VALUES}
    result.judge({"submit": "saw nothing"}, at=NEWER)
    result.judge({}, at=LATER_VALUES)
    assert result.wrong == {"query": "saw nothing", NEWER: "submit: saw nothing"}


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
    result: Result, serving: Serving, docker_host: str, tmp_path: Path
) -> None:
    convention = await convention_file(docker_host, tmp_path)
    server = await serving.start()
    road = await conformance.go_the_road(result.language, address=server.address, convention=convention)
    wrong = conformance.differences(road.seen, conformance.expected())
    result.judge(wrong)
    assert wrong == {}, road.said
    assert road.exit_code == 0, road.said
    async with Client(server.address) as client:
        drafts = [draft async for draft in client.list_depositions(filter='state = "DRAFT"')]
    # The upload that was cancelled left nothing behind.
    assert [draft.file_count for draft in drafts] == [0]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("language", conformance.languages())
async def test_a_client_in_another_language_goes_on_at_a_newer_server(
    result: Result, serving: Serving, docker_host: str, tmp_path: Path
) -> None:
    convention = await convention_file(docker_host, tmp_path)
    server = await serving.start()
    async with newer_front(server.address) as address:
        road = await conformance.go_the_road(result.language, address=address, convention=convention)
    wrong = conformance.differences(road.seen, conformance.expected_at_newer())
    result.judge(wrong, at=NEWER)
    assert wrong == {}, road.said
    assert road.exit_code == 0, road.said

    # Where values of a newer kind are queried, the road ends with a word about them: null would be wrong data.
    async with newer_front(server.address, later_values=True) as address:
        road = await conformance.go_the_road(result.language, address=address, convention=convention)
    wrong = conformance.differences(road.seen, conformance.expected_at_later_values())
    if road.exit_code == 0 or "a newer client is needed" not in road.said:
        wrong["query"] = f"exit code {road.exit_code}, without a word on values of a kind that is not known"
    result.judge(wrong, at=LATER_VALUES)
    assert wrong == {}, road.said
