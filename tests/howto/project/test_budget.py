"""A container's share of a machine counts, whichever version of control groups says it."""

import os

import pytest

from howto.project import budget

GIB = 2**30


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 64 cores and 256 GiB of free memory, as files; gives a function that writes more."""

    def write(path: str, text: object) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")

    monkeypatch.setattr(budget, "SYSTEM", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    write("proc/meminfo", f"MemTotal: 1 kB\nMemAvailable:  {256 * 2**20} kB")
    return write


def test_without_a_container_all_of_the_machine_counts(machine):
    assert (budget.cores(), budget.memory()) == (64, 256)


def test_the_share_of_a_container_of_version_2(machine):
    machine("proc/self/cgroup", "0::/")
    machine("sys/fs/cgroup/cpu.max", "250000 100000")
    machine("sys/fs/cgroup/memory.max", 8 * GIB)
    machine("sys/fs/cgroup/memory.current", 5 * GIB)
    machine("sys/fs/cgroup/memory.stat", f"anon 7\ninactive_file {2 * GIB}")
    assert (budget.cores(), budget.memory()) == (2, 5)


def test_a_group_around_this_one_may_have_less(machine):
    machine("proc/self/cgroup", "0::/outer/inner")
    machine("sys/fs/cgroup/outer/inner/cpu.max", "max 100000")
    machine("sys/fs/cgroup/outer/cpu.max", "400000 100000")
    assert budget.cores() == 4


def test_less_than_one_core_counts_as_one(machine):
    machine("proc/self/cgroup", "0::/")
    machine("sys/fs/cgroup/cpu.max", "50000 100000")
    assert budget.cores() == 1
