"""Which files of the contract are on which page, in the order in which a reader meets them."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page: its file in docs/contract without `.md`, its title, and the files of the contract that it is about."""

    name: str
    title: str
    files: tuple[str, ...]


PAGES: Final = (
    Page(name="server", title="Server information", files=("server_service.proto",)),
    Page(name="conventions", title="Conventions", files=("convention_service.proto", "convention.proto")),
    Page(name="hook-definitions", title="Hook definitions", files=("hook.proto",)),
    Page(name="depositions", title="Depositions", files=("deposition_service.proto", "deposition.proto")),
    Page(name="runs", title="Runs", files=("run_service.proto", "run.proto")),
    Page(name="run-events", title="Run events", files=("run_event.proto",)),
    Page(name="records", title="Records", files=("record_service.proto", "record.proto")),
    Page(name="features", title="Feature tables", files=("feature_service.proto", "feature.proto")),
    Page(name="hooks", title="Hooks across conventions", files=("hook_service.proto",)),
    Page(name="admin", title="For operators", files=("admin_service.proto", "delivery.proto")),
    Page(name="errors", title="How errors are answered", files=("error_details.proto",)),
)

INDEX: Final = "README"

INTRODUCTION: Final = """\
The package is `opensciencearchive.v1`. `osa-grpc contract export DIR` writes its files, with all they import, to make a client
from; [proto/opensciencearchive/v1](../../proto/opensciencearchive/v1) has them too. These pages are written from them by
`make proto`.

- **Fields** are given by their names in the `.proto` files, with their numbers. The examples are in
  [protobuf's JSON](https://protobuf.dev/programming-guides/json/), where they are in camelCase, 64-bit integers are texts, bytes
  are base64, enum values are names, instants RFC 3339, and durations seconds as in `"1.5s"`. The service's own code reads every
  example when it is tested.
- **required**: must be given. **output only**: given by the server, ignored in requests. **immutable**: never changes.
  **identifier**: the resource's name. **optional**: *not given* is another thing than zero or empty.
- **A read** changes nothing and may be sent again at any time. **A change** takes a `request_id`: sent again with the same one
  it is made once, and answered the same.
- **Unknown** kinds of run events, enum values and fields may come from a newer server: a client goes on. What a newer client
  puts into a [HookDefinition](hook-definitions.md#hookdefinition) is refused by an older server, never dropped; elsewhere a
  server ignores fields that it does not know.
- **Errors** have a status code, and a reason that programs switch on. Each call says what it answers of its own;
  [how errors are answered](errors.md) has what any call may answer, and a table of all reasons. Their paths use the names of
  the `.proto` files, `convention.hooks[1].table.columns[0].json_type`, whatever the client's JSON looks like; filters and orders
  do too.
- **Names** of resources are texts, not URLs: a file's name stands in `depositions/{deposition}/files/{file}` as it is,
  `a b.cif` with its space, and is not percent-encoded.
"""
