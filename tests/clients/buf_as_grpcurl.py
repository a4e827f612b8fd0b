"""`grpcurl`, as far as documents use it, by `buf curl`: the same arguments, the same streams, errors told in the same way.

What the two do not share is translated here: how a method is named, how a FieldMask is written in JSON (grpcurl has
`{"paths": [...]}`, buf the text of the JSON mapping), how an error is shown (buf leaves its details in base64).
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

BUF = (str(Path(sys.executable).parent / "buf"), "curl", "--protocol", "grpc", "--http2-prior-knowledge")


def main() -> int:
    """Translate, run, translate back."""
    parser = argparse.ArgumentParser(prog="grpcurl", allow_abbrev=False)
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-max-time")
    parser.add_argument("-d")
    parser.add_argument("address")
    parser.add_argument("words", nargs="+")
    asked = parser.parse_args()
    url = f"http://{asked.address}"
    match asked.words:
        case ["list"]:
            return subprocess.run([*BUF, "--list-services", url], check=False).returncode
        case ["list", service]:
            listed = subprocess.run([*BUF, "--list-methods", url], capture_output=True, text=True, check=True)
            methods = (line.replace("/", ".") for line in listed.stdout.splitlines())
            print(*(method for method in methods if method.startswith(f"{service}.")), sep="\n")  # noqa: T201 - a program
            return 0
        case [method]:
            arguments = ["--timeout", f"{asked.max_time}s"] if asked.max_time else []
            if asked.d is not None:
                arguments += ["-d", "@-" if asked.d == "@" else with_masks_as_text(asked.d)]
            return call([*BUF, *arguments, f"{url}/{method}"])
    sys.exit(f"not known: {asked.words}")


def with_masks_as_text(data: str) -> str:
    """Write FieldMasks as the JSON mapping has them."""
    return re.sub(
        r'{"paths": (\[.*?\])}', lambda mask: json.dumps(",".join(json.loads(mask[1]))), data, flags=re.DOTALL
    )


def call(command: list[str]) -> int:
    """Run a command; tell its error as grpcurl would."""
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.stderr:
        try:
            told = grpcurls_words(json.loads(done.stderr))
        except ValueError:
            told = done.stderr
        print(told, file=sys.stderr)  # noqa: T201 - a program
    return done.returncode


def grpcurls_words(error: dict[str, Any]) -> str:
    """Tell an error as grpcurl does."""
    lines = ["ERROR:", f"  Code: {error['code'].title().replace('_', '')}", f"  Message: {error['message']}"]
    if details := error.get("details"):
        lines.append("  Details:")
    for number, detail in enumerate(details or (), 1):
        lines.append(f"  {number})\t{json.dumps(content_of(detail))}")
    return "\n".join(lines)


def content_of(detail: dict[str, Any]) -> dict[str, Any]:
    """Decode a detail."""
    from google.protobuf.any_pb2 import Any as AnyMessage  # noqa: PLC0415 - most calls have no error
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415
    from google.rpc import error_details_pb2  # noqa: F401, PLC0415 - known from now on

    from osa_grpc.wire import pb  # noqa: F401, PLC0415 - known from now on

    value = base64.b64decode(detail["value"] + "==")
    packed = AnyMessage(type_url=f"type.googleapis.com/{detail['type']}", value=value)
    found: dict[str, Any] = MessageToDict(packed)
    return found


if __name__ == "__main__":
    sys.exit(main())
