import inspect

from osa_grpc.client import BlockingClient, Client


def public(client: type) -> dict[str, list[inspect.Parameter]]:
    return {
        name: list(inspect.signature(method).parameters.values())
        for name, method in vars(client).items()
        if not name.startswith("_") and callable(method)
    }


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    assert public(Client) == public(BlockingClient)


def test_the_clients_can_be_had_from_the_package_itself() -> None:
    import osa_grpc  # noqa: PLC0415 - what is tested

    assert osa_grpc.Client is Client
    assert osa_grpc.BlockingClient is BlockingClient
