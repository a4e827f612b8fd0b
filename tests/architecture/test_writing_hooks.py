"""The example of docs/writing-hooks.md does what the page says, and the page's tables are those of the code.

`python -m tests.architecture.test_writing_hooks` writes the tables of ill-behaved hooks into the page.
"""

import json
import re
import subprocess
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict

from osa_grpc.application.ports import FeatureSource
from osa_grpc.application.row_decoding import decode_rows
from osa_grpc.domain.failure import FailureKind
from osa_grpc.domain.field_path import FieldPath
from osa_grpc.domain.hook import HookDefinition, OciLimits
from osa_grpc.wire import pb
from osa_grpc.wire.hook_codec import hook_from_proto
from tests.fixtures.documents import ROOT, commands_of, files_of, write_files
from tests.fixtures.ill_behaved_hooks import CHAPTERS, IllBehavedHook, ill_behaved_hooks

DOCUMENT = "docs/writing-hooks.md"
PAGE = (ROOT / DOCUMENT).read_text()
ILL_BEHAVED = re.compile(
    r"(<!-- ill-behaved hooks: compared with tests/engine/hooks -->\n)(.*?)(<!-- end of ill-behaved hooks -->)",
    re.DOTALL,
)
AGAIN = {
    "TIMEOUT": "Run again once; then ",
    "OOM": "Run again with twice the memory, up to `max_retry_memory` of the server; then ",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_files(DOCUMENT, tmp_path)
    return tmp_path


def hook_of(folder: Path) -> HookDefinition:
    convention = ParseDict(json.loads((folder / "convention.json").read_text()), pb.Convention())
    [message] = convention.hooks
    message.oci.digest = f"sha256:{'0' * 64}"
    return hook_from_proto(message, at=FieldPath("hook"))


def run(folder: Path) -> str:
    commands = commands_of(DOCUMENT)["hook"]
    done = subprocess.run(["sh", "-euc", commands], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_example_gives_rows_that_fit_its_convention(folder: Path) -> None:
    run(folder)
    with (folder / "try/out/features.json").open("rb") as stream:
        source = FeatureSource(file_name="features.json", form="json", stream=stream)
        rows = list(decode_rows(source, hook_of(folder), subject_id="x"))
    assert rows == [("first", 6, pytest.approx(4 / 6)), ("second", 6, 0.0)]


def test_the_example_rejects_what_is_not_dna(folder: Path) -> None:
    (folder / "sample.fasta").write_text(">protein\nMKV\n")
    with pytest.raises(subprocess.CalledProcessError):  # `cat`: there are no rows
        run(folder)
    [line] = (folder / "try/out/progress.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "status": "rejected",
        "message": "sample.fasta, sequence protein: K, M, V is not DNA",
    }


def test_the_readme_has_the_same_example() -> None:
    assert files_of("README.md") == files_of(DOCUMENT)
    assert commands_of("README.md")["server"] == commands_of(DOCUMENT)["server"]


def test_the_page_has_every_kind_of_failure() -> None:
    assert {kind.value for kind in FailureKind} <= set(re.findall(r"`([A-Z_]+)`", PAGE))


def ill_behaved() -> str:
    """The tables as they should be: one for each chapter of the folder."""
    told = [hook for hook in ill_behaved_hooks() if hook.is_told]
    return "\n\n".join(
        "\n".join(
            [
                f"### {title}",
                "",
                "| my hook ... | then | what to do |",
                "|---|---|---|",
                *(
                    f"| {hook.when} | {end_of(hook)} | {hook.do} |"
                    for hook in told
                    if hook.chapter == chapter
                ),
            ]
        )
        for chapter, title in CHAPTERS.items()
    )


def end_of(hook: IllBehavedHook) -> str:
    verdict = f"{hook.verdict} `{hook.kind}`" if hook.kind else hook.verdict
    says = f": `{hook.says.replace('{each}', hook.each[0] if hook.each else '')}`" if hook.says else ""
    again = AGAIN[hook.retries[0]] if hook.retries else ""
    return " ".join(filter(None, [f"{again}{verdict}{says}.", hook.then]))


def test_the_page_tells_what_happens_to_ill_behaved_hooks() -> None:
    found = ILL_BEHAVED.search(PAGE)
    assert found
    assert found[2].strip() == ill_behaved()


def test_the_page_has_the_default_limits() -> None:
    limits = OciLimits()
    assert f"| `timeoutSeconds` | {limits.timeout_seconds} |" in PAGE
    assert f"| `memory` | `{limits.memory}` |" in PAGE
    assert f"| `cpu` | `{limits.cpu}` |" in PAGE


if __name__ == "__main__":
    (ROOT / DOCUMENT).write_text(
        ILL_BEHAVED.sub(lambda found: f"{found[1]}\n{ill_behaved()}\n\n{found[3]}", PAGE)
    )
