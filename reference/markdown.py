"""The pages' Markdown."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from reference.contract import Enum, Field, File, Message, Rpc, Service
from reference.example_resources import Json
from reference.pages import INDEX, INTRODUCTION, PAGES, Page
from reference.reasons import GENERAL_REASONS, KEYS, METADATA

_PACKAGE: Final = "opensciencearchive.v1."
_WELL_KNOWN: Final = "https://protobuf.dev/reference/protobuf/google.protobuf/#"
_CODE_LIST: Final = "https://grpc.io/docs/guides/status-codes/"
_SHORT_EXAMPLE: Final = 12  # lines; a longer one is folded


class Reference:
    """The pages of a contract, by the names of their files."""

    def __init__(self, files: Iterable[File], examples: Mapping[str, Json]) -> None:
        self._files: Final = {file.name: file for file in files}
        self._examples: Final = examples
        self._page_of: Final = {
            name: page.name for page in PAGES for file in page.files for name in _names(self._files[file])
        }
        self._resources: Final = {
            message.resource[0]: message for message in self._messages() if message.resource is not None
        }

    def pages(self) -> dict[str, str]:
        """Return every page."""
        pages = {f"{page.name}.md": self._page(page) for page in PAGES}
        return {f"{INDEX}.md": self._index(), **pages}

    def _messages(self) -> Iterator[Message]:
        for file in self._files.values():
            yield from (one for one in file.types if isinstance(one, Message))

    def _index(self) -> str:
        lines = ["# The contract", "", _GENERATED, "", INTRODUCTION]
        lines += ["## Services", ""]
        for page in PAGES:
            for service in self._services(page):
                lines += [f"**{self._link(service.name, INDEX)}**: {service.comment}", ""]
                lines += ["| call | | |", "|---|---|---|"]
                lines += [
                    f"| {self._link(rpc.name, INDEX)} | {_kind(rpc)} | {self._cell(_sentence(rpc.comment), INDEX)} |"
                    for rpc in service.rpcs
                ]
                lines.append("")
        lines += ["## Resources", "", "| name | resource | |", "|---|---|---|"]
        for message in self._resources.values():
            assert message.resource is not None
            patterns = ", ".join(f"`{pattern}`" for pattern in message.resource[1])
            said = self._cell(_sentence(message.comment), INDEX)
            lines.append(f"| {patterns} | {self._link(message.name, INDEX)} | {said} |")
        lines += ["", "## Pages", ""]
        lines += [f"- [{page.title}]({page.name}.md): {self._told(page)}" for page in PAGES]
        lines += ["", "## All names, from A to Z", ""]
        by_letter: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self._page_of):
            by_letter[name[0]].append(self._link(name, INDEX))
        lines += [f"- {' · '.join(links)}" for _, links in sorted(by_letter.items())]
        return "\n".join(lines) + "\n"

    def _told(self, page: Page) -> str:
        names = [
            one.name for file in page.files for one in self._files[file].types if not _is_of_call(one.name)
        ]
        return ", ".join(self._link(name, INDEX) for name in names)

    def _services(self, page: Page) -> Iterator[Service]:
        for file in page.files:
            yield from self._files[file].services

    def _page(self, page: Page) -> str:
        here = page.name
        lines = [f"# {page.title}", "", _GENERATED, ""]
        files = [self._files[file] for file in page.files]
        for file in files:
            if file.comment:
                lines += [self._prose(file.comment, here), ""]
        sources = ", ".join(f"[{file.name}](../../proto/opensciencearchive/v1/{file.name})" for file in files)
        lines += [f"From {sources}. [The whole contract]({INDEX}.md).", ""]
        shown: set[str] = set()
        types = {one.name: one for file in files for one in file.types}
        calls = [rpc for service in self._services(page) for rpc in service.rpcs]
        of_calls = {name for rpc in calls for name in (rpc.request, rpc.response)}
        lines += self._contents(calls, [name for name in types if name not in of_calls])
        if here == "errors":
            lines += self._reasons()
        for service in self._services(page):
            lines += [f"## {service.name}", "", f"`{service.full_name}`", ""]
            lines += [self._prose(service.comment, here), ""]
            for rpc in service.rpcs:
                lines += self._rpc(rpc, here)
                for name in (rpc.request, rpc.response):
                    lines += self._type(types[name], here, level=4)
                    shown.add(name)
        rest = [one for name, one in types.items() if name not in shown]
        if rest and calls:
            lines += ["## Messages and enums", ""]
        for one in rest:
            lines += self._type(one, here, level=3 if calls else 2)
        return "\n".join(lines).rstrip() + "\n"

    def _contents(self, calls: Sequence[Rpc], names: Sequence[str]) -> list[str]:
        lines = []
        if calls:
            lines += [f"**Calls**: {' · '.join(f'[{rpc.name}](#{rpc.name.lower()})' for rpc in calls)}", ""]
        if names:
            links = " · ".join(f"[{name}](#{name.lower()})" for name in names)
            lines += [f"**Messages and enums**: {links}", ""]
        return lines

    def _reasons(self) -> list[str]:
        """Return tables: what each reason is, which calls are answered with it, and what its metadata has."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for page in PAGES:
            for service in self._services(page):
                for rpc in service.rpcs:
                    for code, said in rpc.errors:
                        for reason in re.findall(r"`([A-Z][A-Z_]+)`", said):
                            found[reason, code].append(self._link(rpc.name, "errors"))
        for general in GENERAL_REASONS:
            found[general.reason, general.code] = [general.calls]
        lines = [
            "## Reasons, and who answers them",
            "",
            "| reason | status | calls | metadata |",
            "|---|---|---|---|",
        ]
        for (reason, code), calls in sorted(found.items()):
            keys = ", ".join(f"`{key}`" for key in METADATA.get(reason, ()))
            lines.append(f"| `{reason}` | {code} | {', '.join(calls)} | {keys} |")
        lines += ["", "What may be in `ErrorInfo.metadata`:", "", "| key | |", "|---|---|"]
        lines += [f"| `{key}` | {said} |" for key, said in KEYS.items()]
        return [*lines, ""]

    def _rpc(self, rpc: Rpc, here: str) -> list[str]:
        request = f"{'stream of ' if rpc.takes_stream else ''}{self._link(rpc.request, here)}"
        response = f"{'stream of ' if rpc.gives_stream else ''}{self._link(rpc.response, here)}"
        lines = [f"### {rpc.name}", "", f"{request} → {response} · {_kind(rpc)}", ""]
        lines += [self._prose(rpc.comment, here), ""]
        if rpc.errors:
            lines += [f"| [status]({_CODE_LIST}) | reason |", "|---|---|"]
            lines += [f"| {code} | {self._cell(said, here)} |" for code, said in rpc.errors]
            lines.append("")
        return lines

    def _type(self, one: Message | Enum, here: str, *, level: int) -> list[str]:
        lines = [f"{'#' * level} {one.name}", ""]
        if isinstance(one, Message) and one.resource is not None:
            kind, patterns = one.resource
            lines += [f"Resource `{kind}`, named {', '.join(f'`{pattern}`' for pattern in patterns)}.", ""]
        lines += [self._prose(one.comment, here), ""]
        if isinstance(one, Enum):
            lines += ["| value | number | |", "|---|---|---|"]
            lines += [
                f"| `{value.name}` | {value.number} | {self._cell(value.comment, here)} |"
                for value in one.values
            ]
            return [*lines, ""]
        if not one.fields:
            return [*lines, "No fields.", ""]
        lines += ["| field | | type | |", "|---|---|---|---|"]
        told: set[str] = set()
        for field in one.fields:
            if field.oneof and field.oneof not in told:
                told.add(field.oneof)
                said = self._cell(one.oneofs[field.oneof], here)
                lines.append(f"| **`{field.oneof}`** | | one of the following | {said} |")
            lines.append(self._field(field, here))
        return [*lines, "", *self._example(one.name)]

    def _field(self, field: Field, here: str) -> str:
        name = f"{'↳ ' if field.oneof else ''}`{field.name}`"
        kind = f"list of {self._kind(field, here)}" if field.is_repeated else self._kind(field, here)
        labels = [*field.behaviors, *(["optional"] if field.is_optional else [])]
        said = f"**{', '.join(labels)}.** " if labels else ""
        said += self._cell(field.comment, here)
        if field.refers_to:
            said += f" → {self._link(self._resources[field.refers_to].name, here)}"
        return f"| {name} | {field.number} | {kind} | {said} |"

    def _kind(self, field: Field, here: str) -> str:
        if field.type.startswith(_PACKAGE):
            return self._link(field.type.removeprefix(_PACKAGE), here)
        if field.type.startswith("google.protobuf."):
            name = field.type.rpartition(".")[2]
            anchor = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
            return f"[{name}]({_WELL_KNOWN}{anchor})"
        return field.type

    def _example(self, name: str) -> list[str]:
        text = json.dumps(self._examples[name], indent=2, ensure_ascii=False)
        block = ["```json", text, "```"]
        if text.count("\n") < _SHORT_EXAMPLE:
            return [*block, ""]
        return ["<details><summary>Example</summary>", "", *block, "", "</details>", ""]

    def _link(self, name: str, here: str) -> str:
        page = self._page_of[name]
        return f"[{name}]({'' if page == here else f'{page}.md'}#{name.lower()})"

    def _cell(self, text: str, here: str) -> str:
        """Return a comment for a table: paragraphs on one line."""
        paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
        return self._linked("<br>".join(paragraphs), here).replace("|", r"\|")

    def _prose(self, text: str, here: str) -> str:
        return self._linked(text, here)

    def _linked(self, text: str, here: str) -> str:
        """Make links of what is named in backticks and has a place of its own, and of documents."""

        def link(code: re.Match[str]) -> str:
            name = code[1].partition(".")[0]
            if name not in self._page_of:
                return code[0]
            page = self._page_of[name]
            return f"[{code[0]}]({'' if page == here else f'{page}.md'}#{name.lower()})"

        text = re.sub(r"`([A-Z]\w*(?:\.\w+)?)`", link, text)
        return re.sub(r"\bdocs/([\w-]+\.md)\b", r"[docs/\1](../\1)", text)


_GENERATED: Final = "<!-- Written by `make proto` from the .proto files. Change those. -->"


def _names(file: File) -> Iterator[str]:
    for service in file.services:
        yield service.name
        yield from (rpc.name for rpc in service.rpcs)
    yield from (one.name for one in file.types)


def _is_of_call(name: str) -> bool:
    return name.endswith(("Request", "Response"))


def _kind(rpc: Rpc) -> str:
    kind = "read" if rpc.is_read else "change"
    if rpc.takes_stream:
        return f"{kind}, takes a stream"
    return f"{kind}, gives a stream" if rpc.gives_stream else kind


def _sentence(comment: str) -> str:
    """Return the first sentence."""
    text = " ".join(comment.split())
    return re.split(r"(?<=[.:;]) (?=[A-Z])|(?<=\.)$", text)[0]
