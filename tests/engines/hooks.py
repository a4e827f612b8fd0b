"""Which of the ill-behaved hooks an engine is tried with: those that it, and not only our reading of files, has to do with."""

from __future__ import annotations

from collections.abc import Mapping

TEST = "tests/engine/test_ill_behaved_hooks.py::test_a_hook_ends_as_it_says"

CHOSEN = {
    "ends": "asks-at-the-keyboard closes-its-output crashes ends-its-init exits-with-255 exits-with-a-code has-no-entrypoint "
    "has-no-interpreter has-no-such-program is-no-program kills-everything kills-itself leaves-a-daemon-behind",
    "time": "ends-well-when-stopped ignores-a-cancel ignores-the-stop-signal rejects-and-hangs",
    "limits": "calls-home changes-its-input copes-with-the-loss-of-a-child fails-with-its-child fills-its-tmp fills-shared-memory "
    "forks-without-end needs-a-little-more-memory needs-more-memory-than-there-is runs-a-program-in-tmp starts-too-many-processes "
    "wants-to-be-root writes-anywhere",
    "files": "closed-to-others closes-its-directory fills-its-directory removes-its-directory",
    "log": "200-mb-of-lines binary to-stderr",
}

ON_PODMAN = {
    "ends/has-no-entrypoint": "its message is in Podman's words",
    "ends/has-no-interpreter": "Podman's init says 1 for a program that is not there, and Docker's 127",
    "ends/has-no-such-program": "the same",
    "limits/wants-to-be-root": "Podman's filter of system calls lets it make a user namespace",
}

WITHOUT_LIMITS = dict.fromkeys(
    (
        "limits/copes-with-the-loss-of-a-child",
        "limits/fails-with-its-child",
        "limits/fills-shared-memory",
        "limits/forks-without-end",
        "limits/needs-a-little-more-memory",
        "limits/needs-more-memory-than-there-is",
        "limits/starts-too-many-processes",
    ),
    "on cgroup v1 a rootless engine limits neither memory nor processes",
)


def chosen_tests(left_out: Mapping[str, str]) -> list[str]:
    """The tests of the hooks, by pytest's names."""
    names = [f"{chapter}/{name}" for chapter, some in CHOSEN.items() for name in some.split()]
    return [f"{TEST}[{name}-0]" for name in names if name not in left_out]
