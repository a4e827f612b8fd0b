"""Hooks across conventions: what each is, who uses it, how it has judged."""

from osa_grpc.wire import pb
from tests.fixtures.archive import Archive, reject, rows


async def test_a_hook_is_shown_as_its_newest_convention_has_it_with_its_verdicts(archive: Archive) -> None:
    older = await archive.convention(archive.hook("check", memory="64m"))
    newer = await archive.convention(
        archive.hook("check", memory="128m"), archive.hook("other"), version="2.0.0"
    )
    await archive.finish(older, check=rows('{"score": 1}'))
    await archive.finish(newer, check=reject("too coarse"), other="")
    await archive.finish(newer, check="exit 3", other="")
    await archive.finish(newer, check="", other="")

    hook = await archive.client.get_hook("hooks/check")
    assert (hook.name, hook.feature_table) == ("hooks/check", "featureTables/check")
    assert hook.definition.oci.limits.memory == "128m"
    assert hook.convention_count == 2
    assert hook.verdict_counts == pb.VerdictCounts(passed=2, rejected=1, failed=1)
    found = [await archive.client.get_convention(name) for name in (older, newer)]
    assert [hook.create_time, hook.update_time] == [convention.create_time for convention in found]

    other = await archive.client.get_hook("hooks/other")
    assert (other.convention_count, other.verdict_counts) == (1, pb.VerdictCounts(passed=1))


async def test_a_hook_is_there_before_anything_was_judged(archive: Archive) -> None:
    await archive.convention(archive.hook("check"))
    hook = await archive.client.get_hook("hooks/check")
    assert hook.verdict_counts == pb.VerdictCounts()
    assert hook.definition.table.columns[0].name == "score"


async def test_hooks_are_listed_by_name_page_by_page(archive: Archive) -> None:
    assert [hook async for hook in archive.client.list_hooks()] == []
    for number, names in enumerate((("b", "a"), ("c", "b"), ("a_longer_name",))):
        await archive.convention(*map(archive.hook, names), version=f"{number}.0.0")
    for page_size in (0, 1, 2):
        listed = [hook async for hook in archive.client.list_hooks(page_size=page_size)]
        assert [hook.name for hook in listed] == ["hooks/a", "hooks/a_longer_name", "hooks/b", "hooks/c"]
        assert [hook.convention_count for hook in listed] == [1, 1, 2, 1]
    assert listed[0] == await archive.client.get_hook("hooks/a")


async def test_the_uses_of_a_hook_are_listed_the_newest_first_each_with_its_definition(
    archive: Archive,
) -> None:
    names = [
        await archive.convention(archive.hook("check", memory=memory), version=f"{number}.0.0")
        for number, memory in enumerate(("64m", "128m", "256m"))
    ]
    await archive.convention(archive.hook("other"), id="others")
    for page_size in (0, 1, 2):
        uses = [use async for use in archive.client.list_hook_uses("hooks/check", page_size=page_size)]
        assert [use.convention for use in uses] == names[::-1]
        assert [use.definition.oci.limits.memory for use in uses] == ["256m", "128m", "64m"]
        assert all(use.HasField("create_time") for use in uses)
