"""The tables of docs/operating.md are those of the code.

`python -m tests.architecture.test_operating_doc` writes the table of settings into the page.
"""

import re
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo

from osa_grpc.server.metrics import Metrics
from osa_grpc.server.settings import Settings
from osa_grpc.wire import pb
from tests.fixtures.documents import ROOT

DOCUMENT = ROOT / "docs" / "operating.md"
PAGE = DOCUMENT.read_text()
SETTINGS = re.compile(
    r"(<!-- settings: compared with Settings.model_fields -->\n)(.*?)(<!-- end of settings -->)", re.DOTALL
)

COMPUTED_DEFAULTS = {
    "data_directory": "`/var/lib/osa-grpc` for root, else the user's own (`~/.local/share/osa-grpc`)",
    "max_running_hooks": "one for each core, 2 at least",
    "max_retry_memory": "half of this machine's memory, divided by the default of `max_running_hooks`; `2g` at least",
}


def settings_table() -> str:
    """The table as it should be."""
    rows = [
        f"| `{name}` | {default_of(name, field)} | {description_of(field)} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | what it is |", "|---|---|---|", *rows])


def default_of(name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return COMPUTED_DEFAULTS[name]
    default: Any = field.default
    match default:
        case None | {} | ():
            return "none"
        case bool():
            return "yes" if default else "no"
        case _:
            return f"`{default}`"


def description_of(field: FieldInfo) -> str:
    if str(get_origin(field.annotation)) == "typing.Literal":
        return f"{field.description} One of {', '.join(f'`{one}`' for one in get_args(field.annotation))}."
    return field.description or ""


def test_the_page_has_the_settings_of_the_code() -> None:
    found = SETTINGS.search(PAGE)
    assert found
    assert found[2].strip() == settings_table()


def test_the_page_has_the_metrics_of_the_code() -> None:
    declared = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in Metrics().registry.collect()
    }
    sources = "\n".join(path.read_text() for path in (ROOT / "osa_grpc").rglob("*.py"))
    declared |= {f"osa_grpc_{name}" for name in re.findall(r'metrics\.gauge\("(\w+)"', sources)}
    assert set(re.findall(r"`(osa_grpc_\w+)`", PAGE)) == declared


def test_the_page_has_a_health_name_for_every_service() -> None:
    assert f"`{pb.SERVICES[0]}` and the other seven services" in PAGE
    assert len(pb.SERVICES) == 8


if __name__ == "__main__":
    DOCUMENT.write_text(SETTINGS.sub(lambda found: f"{found[1]}\n{settings_table()}\n\n{found[3]}", PAGE))
