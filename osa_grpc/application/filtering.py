"""The filter language, AIP-160 over a table's columns, and AIP-132's order: from text to checked trees.

As in AIP-160, **OR binds tighter than AND**: `a = 1 AND b = 2 OR c = 3` is `a = 1 AND (b = 2 OR c = 3)`. See docs/filters.md. A
text that is too long, too deep or has too many comparisons is refused before anything is done with it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from osa_grpc.application.literals import expected_value, literal_value
from osa_grpc.application.query_errors import shown, syntax_error, type_error, unknown_column
from osa_grpc.domain.column import ColumnType, QueryColumn
from osa_grpc.domain.filter import (
    And,
    Comparison,
    Contains,
    Filter,
    FilterValue,
    Not,
    Operator,
    Or,
    Present,
    SortKey,
)

MAX_FILTER_CHARACTERS: Final = 8192
MAX_FILTER_DEPTH: Final = 32
MAX_FILTER_TERMS: Final = 100
MAX_ORDER_CHARACTERS: Final = 2048
MAX_SORT_KEYS: Final = 16

_AFTER_A_TERM: Final = "AND, OR, another comparison or the end"
_WANTED: Final = {
    "STRING": "a value",
    "COMPARATOR": "one of = != < <= > >= : after a column",
    "AND": _AFTER_A_TERM,
    "NAME": "a column or '('",
    "RPAR": "')'",
}
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT"})


@dataclass(frozen=True, kw_only=True)
class _Restriction:
    column: Token
    operator: Token
    value: Token


@dataclass(frozen=True, kw_only=True)
class _Parsed:
    """A part of a filter as it was written; `kind` is a rule of the grammar."""

    kind: str
    operands: "tuple[_Restriction | _Parsed, ...]"
    depth: int


class _Builder(Transformer[Token, "_Parsed | _Restriction"]):
    """Builds the parts while the parser goes, so that depth is checked before it can hurt."""

    def restriction(self, tokens: list[Token]) -> _Restriction:
        column, operator, value = tokens
        return _Restriction(column=column, operator=operator, value=value)

    def conjunction(self, parts: list["_Parsed | _Restriction"]) -> _Parsed:
        return _Parsed(kind="conjunction", operands=tuple(parts), depth=_depth(parts))

    def disjunction(self, parts: list["_Parsed | _Restriction"]) -> _Parsed:
        return _Parsed(kind="disjunction", operands=tuple(parts), depth=_depth(parts))

    def negation(self, parts: list["_Parsed | _Restriction"]) -> _Parsed:
        return self._deeper("negation", parts[0], parts[1])

    def group(self, parts: list["_Parsed | _Restriction"]) -> _Parsed:
        return self._deeper("group", parts[0], parts[1])

    def _deeper(self, kind: str, mark: object, part: "_Parsed | _Restriction") -> _Parsed:
        depth = _depth([part]) + 1
        if depth > MAX_FILTER_DEPTH:
            assert isinstance(mark, Token)
            raise syntax_error(
                "filter",
                _at(mark),
                expected=f"at most {MAX_FILTER_DEPTH} levels of parentheses and negations",
                found="more",
            )
        return _Parsed(kind=kind, operands=(part,), depth=depth)


def _depth(parts: Sequence[object]) -> int:
    return max(part.depth if isinstance(part, _Parsed) else 0 for part in parts)


_PARSER: Final = Lark(
    files("osa_grpc.application").joinpath("filter_grammar.lark").read_text(encoding="utf-8"),
    start="expression",
    parser="lalr",
    transformer=_Builder(),
)


def parse_filter(text: str, columns: Sequence[QueryColumn]) -> Filter | None:
    """Read a filter over these columns; None when it is blank.

    Raises:
        InvalidRequestError: `INVALID_FILTER` or `UNKNOWN_COLUMN`, at `filter`; the metadata has `position` (from 1, in characters),
            `expected`, and `column` where there is one.
    """
    if len(text) > MAX_FILTER_CHARACTERS:
        raise syntax_error(
            "filter",
            MAX_FILTER_CHARACTERS,
            expected=f"at most {MAX_FILTER_CHARACTERS} characters",
            found=str(len(text)),
        )
    if "\x00" in text:
        raise syntax_error(
            "filter", text.index("\x00"), expected="text without the NUL character", found="it"
        )
    if not text.strip():
        return None
    try:
        parsed: object = _PARSER.parse(text)
    except UnexpectedInput as error:
        raise _unexpected(text, error) from None
    assert isinstance(parsed, _Parsed | _Restriction)  # what _Builder makes
    return _Reader(columns).read(parsed)


def _unexpected(text: str, error: UnexpectedInput) -> Exception:
    wanted: set[str]
    if isinstance(error, UnexpectedToken):
        at_end = error.token.type == "$END"
        offset = len(text) if at_end else _at(error.token)
        wanted = error.expected
        found = "the end" if at_end else shown(str(error.token))
    else:
        assert isinstance(error, UnexpectedCharacters)
        offset = vars(error)["pos_in_stream"]  # declared None in its base class
        wanted = error.allowed or set()
        found = "a string that is not closed" if text[offset] in "\"'" else text[offset]
    expected = next((words for terminal, words in _WANTED.items() if terminal in wanted), _AFTER_A_TERM)
    if "COMPARATOR" in wanted:
        expected += _hint(text[:offset].split())
    return syntax_error("filter", offset, expected=expected, found=found)


def _hint(words: list[str]) -> str:
    """Return what is probably wrong with the last of these words: it stands for a column, and no operator follows."""
    *before, last = words
    if last.upper() in _KEYWORDS:
        return f" ({last.upper()} is written in capitals)"
    if before and before[-1][-1].isalpha() and before[-1] not in _KEYWORDS:
        return " (a text of several words is written in quotes)"
    return ""


def _at(token: Token) -> int:
    assert token.start_pos is not None  # every token of the lexer has one
    return token.start_pos


class _Reader:
    """Gives every part its meaning over given columns."""

    def __init__(self, columns: Sequence[QueryColumn]) -> None:
        self._columns = {column.name: column for column in columns}
        self._terms = 0

    def read(self, part: _Parsed | _Restriction) -> Filter:
        if isinstance(part, _Restriction):
            return self._restriction(part)
        operands = [self.read(operand) for operand in part.operands]
        if part.kind == "negation":
            return Not(operand=operands[0])
        if len(operands) == 1:
            return operands[0]
        if part.kind == "conjunction":
            return And(operands=_flat(operands, And))
        return Or(operands=_flat(operands, Or))

    def _restriction(self, part: _Restriction) -> Filter:
        self._terms += 1
        if self._terms > MAX_FILTER_TERMS:
            raise syntax_error(
                "filter",
                _at(part.column),
                expected=f"at most {MAX_FILTER_TERMS} comparisons",
                found="more",
            )
        column = self._columns.get(part.column)
        if column is None:
            raise unknown_column("filter", _at(part.column), column=str(part.column), known=self._columns)
        if part.value.type == "STAR":
            return Present(column=column)
        if part.operator.type == "HAS":
            return Contains(column=column, value=_value(column, part.value, is_whole=False))
        operator = Operator(str(part.operator))
        allowed = _operators(column)
        if operator not in allowed:
            raise type_error(
                "filter",
                _at(part.operator),
                column=column.name,
                expected=" or ".join((*allowed, ":")),
                found=operator.value,
            )
        return Comparison(column=column, operator=operator, value=_value(column, part.value))


def _operators(column: QueryColumn) -> Sequence[Operator]:
    if column.type is ColumnType.JSON:
        return ()
    if column.type is ColumnType.BOOLEAN or column.words or column.resource is not None:
        return (Operator.EQUAL, Operator.NOT_EQUAL)
    return tuple(Operator)


def _flat(operands: Sequence[Filter], kind: type[And] | type[Or]) -> tuple[Filter, ...]:
    flat: list[Filter] = []
    for operand in operands:
        if isinstance(operand, kind):
            flat += operand.operands
        else:
            flat.append(operand)
    return tuple(flat)


def _value(column: QueryColumn, token: Token, *, is_whole: bool = True) -> FilterValue:
    offset = _at(token)
    quoted = token.type == "STRING"
    if not quoted and token in _KEYWORDS:
        raise syntax_error(
            "filter", offset, expected=f"a value; {token} as text needs quotes", found=str(token)
        )
    text = _unquoted(token, offset) if quoted else str(token)
    try:
        return literal_value(column, text, quoted=quoted, is_whole=is_whole)
    except ValueError:
        expected = expected_value(column)
        raise type_error(
            "filter", offset, column=column.name, expected=expected, found=shown(str(token))
        ) from None


def _unquoted(token: str, offset: int) -> str:
    def escaped(match: re.Match[str]) -> str:
        if match[1] not in "\\\"'":
            raise syntax_error(
                "filter",
                offset + match.start() + 1,
                expected="one of \\\\ \\\" \\' in a string",
                found=shown(match[0]),
            )
        return match[1]

    return re.sub(r"\\(.)", escaped, token[1:-1], flags=re.DOTALL)


def parse_order_by(text: str, columns: Sequence[QueryColumn]) -> list[SortKey]:
    """Read an order such as `resolution desc, record_srn` over these columns; empty when it is blank.

    Raises:
        InvalidRequestError: `INVALID_ORDER_BY` or `UNKNOWN_COLUMN`, at `order_by`; metadata as for filters.
    """
    if len(text) > MAX_ORDER_CHARACTERS:
        raise syntax_error(
            "order_by",
            MAX_ORDER_CHARACTERS,
            expected=f"at most {MAX_ORDER_CHARACTERS} characters",
            found=str(len(text)),
        )
    known = {column.name: column for column in columns}
    keys: dict[str, SortKey] = {}
    offset = 0
    for part in text.split(",") if text.strip() else ():
        at = offset + len(part) - len(part.lstrip())
        offset += len(part) + 1
        key = _sort_key(part, at, known)
        if key.column.name in keys:
            raise type_error(
                "order_by", at, column=key.column.name, expected="each column once", found="it again"
            )
        if len(keys) == MAX_SORT_KEYS:
            raise syntax_error("order_by", at, expected=f"at most {MAX_SORT_KEYS} columns", found="more")
        keys[key.column.name] = key
    return list(keys.values())


def _sort_key(part: str, at: int, known: dict[str, QueryColumn]) -> SortKey:
    match = re.fullmatch(r"\s*([^\s,]+)(?:\s+(asc|desc))?\s*", part)
    if match is None:
        expected = "a column, and asc or desc after it if you like"
        raise syntax_error("order_by", at, expected=expected, found=shown(part.strip()) or "nothing")
    column = known.get(match[1])
    if column is None:
        raise unknown_column("order_by", at, column=match[1], known=known)
    if column.type is ColumnType.JSON:
        raise type_error(
            "order_by", at, column=column.name, expected="a column that can be sorted", found="JSON"
        )
    return SortKey(column=column, descending=match[2] == "desc")
