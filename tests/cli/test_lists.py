"""Lists at the command line: filtered, sorted, and what operators and hooks' authors look at."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from osa_grpc.cli import exit_codes
from osa_grpc.cli.main import cli
from tests.cli.conftest import Osa


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def finished(osa: Osa, convention: str, mood: str) -> dict[str, Any]:
    """A run that is over."""
    told = osa("deposit", "--convention", convention, "--set", f"mood={mood}", "--no-follow")
    run = told.stdout.splitlines()[-1]
    osa("run", "watch", run)
    [seen] = lines(osa("run", "get", run, "--output", "json"))
    return seen


def test_lists_are_filtered_and_sorted(osa: Osa, moods: str) -> None:
    passed, failed = finished(osa, moods, "fine"), finished(osa, moods, "broken")
    these = f'name = "{passed["name"]}" OR name = "{failed["name"]}"'

    def names(*arguments: str) -> list[str]:
        return [found["name"] for found in lines(osa(*arguments, "--output", "json"))]

    assert names("run", "list", "--filter", these, "--order-by", "end_time") == [
        passed["name"],
        failed["name"],
    ]
    assert names("run", "list", "--filter", f"state = FAILED AND ({these})") == [failed["name"]]
    deposition = failed["deposition"]["deposition"]
    assert names("deposition", "list", "--filter", f'run = "{failed["name"]}" OR name = "{deposition}"') == [
        deposition
    ]
    assert names("record", "list", "--filter", f'run = "{passed["name"]}"') == [passed["record"]]
    nothing = osa("run", "list", "--filter", "state = CANCELLED AND failure_kind = OOM")
    assert (nothing.stdout, nothing.stderr) == ("", "no such runs\n")


@pytest.mark.parametrize("of", ["run", "deposition", "delivery"])
def test_a_filter_that_is_wrong_says_where(osa: Osa, of: str) -> None:
    result = osa(of, "list", "--filter", "state = LOST")
    assert result.exit_code == exit_codes.INVALID
    assert "INVALID_FILTER" in result.stderr
    assert "at position 9: state: expected one of" in result.stderr


def test_a_hook_is_shown_with_its_verdicts_and_who_uses_it(osa: Osa, moods: str) -> None:
    finished(osa, moods, "fine")
    assert osa("hook", "list").stdout.splitlines()[0].split()[:3] == ["NAME", "CONVENTIONS", "PASSED"]
    shown = osa("hook", "get", "look").stdout
    assert "featureTables/look" in shown
    assert "passed" in shown
    assert f"conventions/{moods}" in shown
    hook, use = lines(osa("hook", "get", "hooks/look", "--output", "json"))
    assert int(hook["verdictCounts"]["passed"]) >= 1
    assert use["convention"] == f"conventions/{moods}"
    assert osa("hook", "get", "nobody").exit_code == exit_codes.NOT_FOUND


def test_deliveries_are_listed_and_those_that_are_done_stay_done(osa: Osa, moods: str) -> None:
    listed = lines(osa("delivery", "list", "--filter", f'subject = "{moods}"', "--output", "json"))
    [done] = listed
    assert (done["state"], done["handler"]) == ("DELIVERY_STATE_DONE", "make_feature_tables")
    number = done["name"].partition("/")[2]
    assert moods in osa("delivery", "get", number).stdout
    for change, reason in (("retry", "DELIVERY_DONE"), ("discard", "DELIVERY_NOT_DEAD")):
        refused = osa("delivery", change, number)
        assert refused.exit_code == exit_codes.PRECONDITION
        assert reason in refused.stderr
    assert osa("delivery", "retry", "9999").exit_code == exit_codes.NOT_FOUND
    assert osa("delivery", "get", "first").exit_code == exit_codes.INVALID
    assert "no such deliveries" in osa("delivery", "list", "--filter", "state = DEAD").stderr


def test_what_there_are_many_of_may_be_called_so(osa: Osa, moods: str) -> None:
    assert moods in osa("conventions", "list").stdout
    assert osa("deliveries", "list").stdout == osa("delivery", "list").stdout
    listed = CliRunner().invoke(cli, ["--help"]).stdout
    assert "delivery" in listed
    assert "deliveries" not in listed
