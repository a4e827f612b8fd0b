from osa_grpc.client import Backoff


def test_waits_grow_up_to_the_longest() -> None:
    backoff = Backoff(first_seconds=1, factor=2, longest_seconds=5, draw=lambda: 1.0)
    assert [backoff.seconds(failures) for failures in (1, 2, 3, 4, 5)] == [1, 2, 4, 5, 5]


def test_chance_shortens_a_wait_by_half_at_most() -> None:
    assert Backoff(first_seconds=1, draw=lambda: 0.0).seconds(1) == 0.5


def test_what_the_server_asks_for_is_the_least() -> None:
    assert Backoff(first_seconds=1, draw=lambda: 0.0).seconds(1, asked_seconds=30) == 30.5
