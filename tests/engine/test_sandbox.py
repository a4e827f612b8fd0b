"""The sandbox, seen from inside: what a hook finds out about its container, and what it is refused.

One test for each line of the table in docs/writing-hooks.md, and for what an operator relies on. All of it is asked in a hook's own
container.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from osa_grpc.runtimes.engine_traits import EngineTraits, Resource
from osa_grpc.runtimes.staging import NOBODY, container_user
from tests.fixtures.hooks import Workshop

WRITABLE = {"/dev/mqueue", "/dev/shm", "/osa/out", "/tmp"}
DEVICES = {"console", "full", "null", "ptmx", "random", "tty", "urandom", "zero"}
SECRETS = (
    "/proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug /proc/scsi /proc/acpi "
    "/proc/kmsg /proc/kpageflags /proc/vmallocinfo /proc/slabinfo /sys/firmware /sys/kernel/debug /sys/kernel/security"
)
CONTROLS = "/proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/irq /proc/bus /sys/power/state"
CGROUP = """
limit() {  # of cgroup v1, or else of v2
    if [ -e "/sys/fs/cgroup/$1" ]; then cat "/sys/fs/cgroup/$1"; else cat "/sys/fs/cgroup/$2"; fi
}
"""


def skip_if_unlimited(traits: EngineTraits, resource: Resource) -> None:
    if resource in traits.unlimited:
        pytest.skip(f"this engine cannot limit {resource}")


async def inside(workshop: Workshop, script: str, **job: object) -> str:
    """What a hook prints that is this script, and ends well."""
    end, observer = await workshop.run(
        f"exec 2>&1\n{script}", **job
    )  # in order: there are two pipes otherwise
    said = observer.log.decode(errors="replace")
    assert (end.failure, end.exit_code) == (None, 0), said
    return said


async def test_there_is_no_network_but_loopback(workshop: Workshop) -> None:
    script = """ls /sys/class/net; echo routes: $(tail -n +2 /proc/net/route)
    for host in 192.0.2.1 169.254.169.254 172.17.0.1; do nc -w 1 $host 80 < /dev/null && echo reached $host; done
    nslookup example.org > /dev/null 2>&1 && echo found a name
    true"""
    said = await inside(workshop, script)
    assert said.splitlines()[:2] == ["lo", "routes:"]
    assert "reached" not in said
    assert "found a name" not in said
    assert said.count("unreachable") == 3


async def test_no_socket_of_the_host_is_there_not_even_an_abstract_one(workshop: Workshop) -> None:
    said = await inside(workshop, "echo sockets: $(find / -type s 2>/dev/null) $(tail -n +2 /proc/net/unix)")
    assert said == "sockets:\n"


async def test_the_engine_is_out_of_reach(workshop: Workshop, docker_host: str) -> None:
    place = docker_host.removeprefix("unix://")
    said = await inside(
        workshop, f"ls {place} /var/run/docker.sock /run/docker.sock /run/containerd 2>&1 || true"
    )
    assert said.count("No such file or directory") == 4


@pytest.mark.parametrize("which", ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
async def test_there_is_no_capability(workshop: Workshop, which: str) -> None:
    said = await inside(workshop, f"grep {which} /proc/self/status")
    assert int(said.partition(":")[2], 16) == 0


async def test_no_new_privileges_can_be_had_and_system_calls_are_filtered(workshop: Workshop) -> None:
    said = await inside(workshop, "grep -E '^(NoNewPrivs|Seccomp):' /proc/1/status /proc/self/status")
    assert re.findall(r"NoNewPrivs:\s*(\d)", said) == ["1", "1"]
    assert re.findall(r"Seccomp:\s*(\d)", said) == ["2", "2"]


async def test_no_namespace_can_be_made_or_entered(workshop: Workshop, traits: EngineTraits) -> None:
    script = "for kind in U m n p i u; do unshare -$kind true && echo made $kind; done; nsenter -t 1 -m true && echo entered; true"
    said = await inside(workshop, script.replace("-U", "--user"))
    # Podman's own filter lets through what containers within containers need.
    assert re.findall(r"made (\w)", said) == (["U"] if traits.product == "podman" else [])
    assert "entered" not in said


async def test_nothing_can_be_written_to_but_what_is_said(workshop: Workshop, traits: EngineTraits) -> None:
    script = """find / -path /proc -prune -o -type d -print 2>/dev/null | while read -r place; do
        touch "$place/x" 2>/dev/null && echo "$place"
    done; true"""
    # In a rootless engine the hook is root, to whom /dev belongs: a little memory of its own.
    writable = WRITABLE | {"/dev", "/dev/pts"} if traits.is_rootless else WRITABLE
    assert set((await inside(workshop, script)).split()) <= writable
    refused = await inside(
        workshop, "for place in / /bin /osa /osa/in /sys; do touch $place/x 2>&1; done; true"
    )
    assert len(refused.splitlines()) == 5
    assert set(re.findall(r": ([A-Z][^:\n]*)$", refused, re.MULTILINE)) <= {
        "Read-only file system",
        "Permission denied",
    }


async def test_tmp_is_small_and_nothing_in_it_can_be_run(workshop: Workshop) -> None:
    script = """grep ' /tmp ' /proc/mounts; df -k /tmp | tail -n 1
    cp /bin/busybox /tmp/sh; /tmp/sh -c 'echo ran'; echo code $?"""
    said = await inside(workshop, script)
    options = said.split()[3].split(",")
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(options)
    size = re.search(r"tmpfs\s+(\d+)\s+\d+\s+\d+\s+\d+%\s+/tmp", said)
    assert size is not None
    assert int(size[1]) == pytest.approx(100 * 10**6 / 1024, abs=4)  # whole pages
    assert said.endswith("code 126\n")


async def test_a_place_in_shared_memory_is_small_too(workshop: Workshop) -> None:
    said = await inside(workshop, "df -k /dev/shm | tail -n 1; grep ' /dev/shm ' /proc/mounts")
    assert int(said.split()[1]) <= 64 * 1024
    assert "noexec" in said


async def test_there_are_256_processes_at_most(workshop: Workshop, traits: EngineTraits) -> None:
    skip_if_unlimited(traits, "processes")
    said = await inside(workshop, f"{CGROUP}limit pids/pids.max pids.max")
    assert int(said) == 256
    end, observer = await workshop.run("i=0; while [ $i -lt 300 ]; do sleep 30 & echo $i; i=$((i+1)); done")
    assert end.exit_code != 0
    assert b"can't fork" in observer.log
    assert 200 < observer.log.count(b"\n") < 260


async def test_memory_is_limited_and_there_is_no_swap(workshop: Workshop, traits: EngineTraits) -> None:
    skip_if_unlimited(traits, "memory")
    script = f"""{CGROUP}limit memory/memory.limit_in_bytes memory.max
    if [ -e /sys/fs/cgroup/memory.max ]; then cat /sys/fs/cgroup/memory.swap.max
    else cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes 2>/dev/null; fi; true"""
    memory, *swap = map(int, (await inside(workshop, script, memory="48m")).split())
    assert memory == 48 * 2**20
    # v1 counts both together; some kernels of v1 do not count swap at all.
    assert swap in ([], [0], [48 * 2**20])


@pytest.mark.parametrize(("cpu", "cores"), [("0.5", 0.5), ("1", 1.0), ("900", float(os.cpu_count() or 1))])
async def test_processors_are_limited_to_what_was_asked_and_what_is_there(
    workshop: Workshop, traits: EngineTraits, cpu: str, cores: float
) -> None:
    skip_if_unlimited(traits, "processors")
    script = f"""{CGROUP}limit cpu/cpu.cfs_quota_us cpu.max
    [ -e /sys/fs/cgroup/cpu.max ] || cat /sys/fs/cgroup/cpu/cpu.cfs_period_us"""
    quota, period = map(int, (await inside(workshop, script, cpu=cpu)).split())
    assert quota / period == cores


async def test_the_user_is_nobody_or_who_the_server_is(workshop: Workshop, traits: EngineTraits) -> None:
    user, group = container_user()
    if traits.is_rootless:  # who is seen outside as the server, with no rights at all
        assert (await inside(workshop, "id -u; id -g; touch /osa/out/x")).split() == ["0", "0"]
        [written] = workshop.work_directory.glob("*/*/out/x")
        assert (written.stat().st_uid, written.stat().st_gid) == (user, group)
        return
    assert (await inside(workshop, "id -u; id -g; id -G")).split() == [str(user), str(group), str(group)]
    assert (os.geteuid() == 0) == ((user, group) == NOBODY)


async def test_limits_of_a_process_are_as_they_should_be(workshop: Workshop, traits: EngineTraits) -> None:
    if traits.is_rootless and traits.product == "podman":
        pytest.skip("rootless Podman takes no ulimits by Docker's API")
    cores, blocks = (await inside(workshop, "ulimit -c; ulimit -f")).split()
    assert cores == "0"
    assert (
        int(blocks) * 512 == 64 * 2**20 + 2**20
    )  # the quota, and a little, so that the quota is seen to be exceeded


async def test_another_records_files_and_the_servers_data_are_not_there(workshop: Workshop) -> None:
    secret = os.urandom(16).hex()
    pattern = f"[{secret[0]}]{secret[1:]}"  # which is not itself what it finds
    others = workshop.files.add("other.txt", secret.encode())
    own = workshop.files.add("own.txt", b"mine")
    digest = await workshop.image("cat /osa/files/*/*; sleep 60")
    script = f"""
        ls /osa/files /osa/in/files /osa/files/*
        cat {workshop.work_directory.parent}/*/* 2>/dev/null
        ls -d {workshop.work_directory} {workshop.work_directory.parent} 2>/dev/null
        for root in /proc/[0-9]*/root /proc/[0-9]*/cwd; do ls $root/{workshop.work_directory} 2>/dev/null; done
        find / -path /proc -prune -o -path /sys -prune -o -type f -print 2>/dev/null | xargs grep -l '{pattern}' 2>/dev/null
        true"""
    async with workshop.running(workshop.job(digest, files=[others])) as seen:
        await seen.until(lambda other: secret.encode() in other.log)
        said = await inside(workshop, script, files=[own])
    assert said.split() == ["/osa/files:", "d1", "/osa/files/d1:", "own.txt", "/osa/in/files:", "own.txt"]


async def test_its_input_cannot_be_changed(workshop: Workshop) -> None:
    script = """
        for file in /osa/in/record.json /osa/in/records.jsonl /osa/in/config.json /osa/in/files/a.txt /osa/files/d1/a.txt; do
            cat $file > /dev/null || echo cannot read $file
            echo x >> $file && echo changed $file
            chmod 777 $file && echo opened $file
            rm -f $file && echo removed $file
            mv $file /osa/out/ && echo moved $file
        done 2>/dev/null
        cat /osa/files/d1/a.txt
        grep -c ' /osa/[a-z/]* .* ro,' /proc/mounts"""
    file = workshop.files.add("a.txt", b"as it was\n")
    said = await inside(workshop, script, files=[file], config={"a": 1})
    assert said.splitlines() == ["as it was", "3"]


async def test_secrets_of_the_kernel_are_masked(workshop: Workshop) -> None:
    script = f"""for place in {SECRETS}; do
        for file in $(find $place -type f -o -type c); do head -c 100 $file; done
    done 2>/dev/null; true"""
    assert await inside(workshop, script) == ""


async def test_the_kernel_cannot_be_told_anything(workshop: Workshop) -> None:
    script = f"for place in {CONTROLS}; do [ -w $place ] && echo $place; done; dmesg > /dev/null 2>&1 && echo heard; true"
    assert await inside(workshop, script) == ""


async def test_there_is_no_device_but_harmless_ones(workshop: Workshop) -> None:
    said = await inside(
        workshop, "find /dev -type b; echo; find /dev -path /dev/pts -prune -o -type c -print; ls /dev/pts"
    )
    disks, _, others = said.partition("\n")
    assert disks == ""
    assert {Path(place).name for place in others.split()} <= DEVICES
    end, _ = await workshop.run("mknod /osa/out/sda b 8 0 || mknod /tmp/mem c 1 1")
    assert end.exit_code == 1


async def test_its_environment_has_nothing_of_the_servers(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OSA_DATABASE_URL", "postgresql://somebody:secret@host/archive")
    said = await inside(workshop, "env; cat /proc/1/environ | tr '\\0' '\\n'")
    names = {line.partition("=")[0] for line in said.splitlines()}
    own = {"OSA_IN", "OSA_OUT", "OSA_FILES", "OSA_HOOK_NAME", "HOME", "TMPDIR", "XDG_CACHE_HOME"}
    assert own <= names <= own | {"PATH", "PWD", "HOSTNAME", "SHLVL", "TERM", "container"}
    assert "secret" not in said


async def test_no_process_of_anybody_else_is_seen(workshop: Workshop) -> None:
    said = await inside(workshop, "for one in /proc/[0-9]*; do cat $one/comm 2>/dev/null; done")
    assert set(said.split()) <= {"docker-init", "podman-init", "tini", "catatonit", "sh", "hook", "cat"}


async def test_it_has_a_name_and_memory_shared_with_nobody(workshop: Workshop) -> None:
    script = "hostname; for kind in shm sem msg; do tail -n +2 /proc/sysvipc/$kind; done"
    [name] = (await inside(workshop, script)).splitlines()
    assert name != socket.gethostname()
