"""What the documents name is there: links, paths, make targets, commands and their options, error reasons."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from osa_grpc.cli.main import cli
from osa_grpc.server.settings import Settings
from tests.fixtures.documents import ROOT

DOCUMENTS = sorted(
    str(path.relative_to(ROOT))
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
    if "node_modules" not in path.parts
)
FENCED = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = {"", "sh", "console"}
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()} - {".git", ".venv", "build"}
each_document = pytest.mark.parametrize("document", DOCUMENTS)


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def prose_of(document: str) -> str:
    return FENCED.sub("", text_of(document))


def inline_code(document: str) -> list[str]:
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose_of(document))]


def shell_lines(document: str) -> list[str]:
    """Commands: in inline code, and in fenced blocks, with continued lines joined and comments gone."""
    fenced = [
        line.split(" #")[0]
        for block in FENCED.finditer(text_of(document))
        if block["language"] in SHELL
        for line in block["text"].replace("\\\n", " ").splitlines()
    ]
    return [*inline_code(document), *fenced]


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@each_document
def test_every_relative_link_leads_somewhere(document: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(document)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE) if path.is_file() else []
        if not path.exists() or (anchor and anchor not in map(slug, headings)):
            broken.append(target)
    assert broken == []


@each_document
def test_every_path_that_is_named_exists(document: str) -> None:
    named = [code.split(" ")[0] for code in inline_code(document)]
    ours = [
        name for name in named if re.fullmatch(r"[\w.-]+/[\w./-]*", name) and name.split("/")[0] in FOLDERS
    ]
    ours += [name for name in named if re.fullmatch(r"[A-Z]\w+\.md|Makefile|[a-z]+\.toml|[a-z]+\.lock", name)]
    assert [name for name in ours if not (ROOT / name).exists()] == []


@each_document
def test_every_make_target_that_is_named_exists(document: str) -> None:
    named = [match[1] for line in shell_lines(document) if (match := re.match(r"make ([\w-]+)", line))]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    targets |= {
        f"bench-{path.stem.removeprefix('bench_').replace('_', '-')}"
        for path in ROOT.glob("bench/bench_*.py")
    }
    assert [target for target in named if target not in targets] == []


def commands_in(document: str) -> Iterator[list[str]]:
    """The words after `osa-grpc`, up to what ends a command in a shell."""
    for line in shell_lines(document):
        for rest in re.findall(r"(?<![\w/.\[-])osa-grpc ([^|;)&]*)", line):
            yield rest.split()


def options_of(command: click.Command) -> set[str]:
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}


@each_document
def test_every_command_that_is_named_exists_with_its_options(document: str) -> None:
    unknown = []
    for words in commands_in(document):
        command: click.Command = cli
        options = options_of(cli)
        context = click.Context(cli)
        rest = list(words)
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            found = command.get_command(context, rest.pop(0))
            if found is None:
                unknown.append(" ".join(words))
                break
            command = found
            options |= options_of(command)
        named = {word.strip("[]").partition("=")[0] for word in rest if word.strip("[").startswith("--")}
        unknown += [f"{' '.join(words)}: {option}" for option in sorted(named - options)]
    assert unknown == []


@each_document
def test_every_reason_that_is_named_is_given_somewhere(document: str) -> None:
    named = {code for code in inline_code(document) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", code)}
    sources = "\n".join(
        path.read_text() for path in (*ROOT.glob("osa_grpc/**/*.py"), *ROOT.glob("proto/**/*.proto"))
    )
    settings = {f"OSA_{name.upper()}" for name in Settings.model_fields}
    assert [name for name in sorted(named - settings) if not re.search(rf"\b{name}\b", sources)] == []


def test_no_document_names_a_path_of_one_machine() -> None:
    personal = re.compile(r"/(?:home|Users|root|work)/\w")
    assert [document for document in DOCUMENTS if personal.search(text_of(document))] == []


def test_every_decision_is_numbered_and_says_the_same_things() -> None:
    files = sorted((ROOT / "docs" / "adr").iterdir())
    assert [path.name[:4] for path in files] == [f"{number:04d}" for number in range(1, len(files) + 1)]
    headings = ["Context", "Decision", "Consequences", "Measured"]
    for path in files:
        assert re.findall(r"^## (.*)$", path.read_text(), re.MULTILINE) == headings, path.name
        assert path.read_text().startswith(f"# {path.name[:4]}. "), path.name


def test_every_page_is_linked_from_the_readme_or_the_architecture() -> None:
    linked = {
        str((ROOT / document).parent.joinpath(target.partition("#")[0]).resolve())
        for document in ("README.md", "docs/architecture.md")
        for target in re.findall(r"\]\(([^)\s]+)\)", text_of(document))
    }
    pages = [str(Path(ROOT, "docs", path.name).resolve()) for path in (ROOT / "docs").glob("*.md")]
    assert [page for page in pages if page not in linked] == []
