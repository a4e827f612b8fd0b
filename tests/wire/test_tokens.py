import base64
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osa_grpc.domain.errors import InvalidRequestError
from osa_grpc.domain.names import RunId
from osa_grpc.wire.tokens import (
    page_binding,
    page_token,
    read_page_token,
    read_resume_token,
    resume_token,
)

RUN = RunId(str(uuid.UUID(int=1)))
BINDING = page_binding("ListRuns", "state = RUNNING")

runs = st.uuids().map(lambda u: RunId(str(u)))
sequences = st.integers(0, 2**63 - 1)
positions = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4)
garbage = st.one_of(
    st.text(max_size=80),
    st.binary(max_size=80).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
    st.binary(max_size=80).map(lambda raw: base64.urlsafe_b64encode(b"\x01" + raw).decode().rstrip("=")),
)


@given(runs, sequences)
def test_a_resume_token_gives_back_its_sequence(run: RunId, sequence: int) -> None:
    assert read_resume_token(resume_token(run, sequence), run) == sequence


@given(positions)
def test_a_page_token_gives_back_its_position(after: list[str]) -> None:
    assert read_page_token(page_token(BINDING, after), BINDING) == tuple(after)


def test_a_sequence_that_no_database_can_hold_is_refused() -> None:
    with pytest.raises(InvalidRequestError):
        read_resume_token(resume_token(RUN, 2**63), RUN)


def test_an_empty_page_token_is_the_start_and_the_end() -> None:
    assert read_page_token("", BINDING) is None
    assert page_token(BINDING, None) == ""


@given(garbage)
def test_garbage_is_an_invalid_token_and_nothing_else(text: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_resume_token(text, RUN)
    assert caught.value.reason == "INVALID_RESUME_TOKEN"
    assert str(caught.value.violations[0].at) == "resume_token"
    if text:
        with pytest.raises(InvalidRequestError) as caught:
            read_page_token(text, BINDING)
        assert caught.value.reason == "INVALID_PAGE_TOKEN"


@given(st.data())
def test_a_damaged_token_is_refused(data: st.DataObject) -> None:
    text = resume_token(RUN, 7)
    at = data.draw(st.integers(0, len(text) - 2))  # the last digit has bits that nobody reads
    other = data.draw(st.sampled_from("ABCZaz09-_~ =é").filter(lambda c: c != text[at]))
    with pytest.raises(InvalidRequestError):
        read_resume_token(text[:at] + other + text[at + 1 :], RUN)


def test_a_token_of_something_else_is_refused() -> None:
    other = RunId(str(uuid.UUID(int=2)))
    with pytest.raises(InvalidRequestError, match="found one of another"):
        read_resume_token(resume_token(other, 1), RUN)
    with pytest.raises(InvalidRequestError, match="of this listing"):
        read_page_token(page_token(page_binding("ListRuns", "state = FAILED"), ["a"]), BINDING)
    with pytest.raises(InvalidRequestError):
        read_page_token(resume_token(RUN, 1), BINDING)
    with pytest.raises(InvalidRequestError):
        read_resume_token(page_token(BINDING, ["a"]), RUN)


def test_a_binding_knows_where_a_part_ends() -> None:
    assert page_binding("m", "ab", "c") != page_binding("m", "a", "bc")
