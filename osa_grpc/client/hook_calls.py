"""The calls about hooks."""

from __future__ import annotations

from osa_grpc.client.calls import Call, Listing
from osa_grpc.wire import pb


def get_hook(name: str) -> Call[pb.GetHookRequest, pb.GetHookResponse, pb.Hook]:
    """Get a hook."""
    return Call(
        rpc=lambda stubs: stubs.hooks.GetHook,
        request=pb.GetHookRequest(name=name),
        take=lambda answer: answer.hook,
    )


def list_hooks(*, page_size: int) -> Listing[pb.Hook]:
    """List hooks."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.hooks.ListHooks,
            request=pb.ListHooksRequest(page_size=page_size, page_token=token),
            take=lambda answer: (answer.hooks, answer.next_page_token),
        )
    )


def list_hook_uses(hook: str, *, page_size: int) -> Listing[pb.HookUse]:
    """List the conventions that use a hook."""
    return Listing(
        page=lambda token: Call(
            rpc=lambda stubs: stubs.hooks.ListHookUses,
            request=pb.ListHookUsesRequest(parent=hook, page_size=page_size, page_token=token),
            take=lambda answer: (answer.uses, answer.next_page_token),
        )
    )
