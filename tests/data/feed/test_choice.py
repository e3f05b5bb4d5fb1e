"""Where pictures are kept, for any memory."""

import jax
import pytest

from ldl_jax.data.feed.choice import (
    COPIES,
    SHARES,
    STREAM,
    Memory,
    choose,
    free_host,
    least,
    measure,
)

GB = 1e9
CARDS = Memory(host=64 * GB, device=20 * GB, devices=4, on_host=False)
CORES = Memory(host=16 * GB, device=None, devices=1, on_host=True)


@pytest.mark.parametrize(
    ("needed", "memory", "where", "reason"),
    [
        (9, CARDS, COPIES, "fits into free memory"),
        (11, CARDS, SHARES, "11 GB a device exceed half of the 20 GB free there; fits into"),
        (33, CARDS, STREAM, "33 GB exceed half of the 64 GB free in memory"),
        (33, CARDS._replace(host=None), SHARES, "fits into free memory"),
        (41, CARDS._replace(host=None), STREAM, "10.2 GB a device exceed half of the 20 GB"),
        (11, CARDS._replace(devices=1), STREAM, "11 GB a device exceed half of the 20 GB"),
        (3.9, CORES, COPIES, "fits into free memory"),
        (4.1, CORES, STREAM, "8.2 GB with the copies exceed half of the 16 GB free in memory"),
        (1, CORES._replace(devices=8), SHARES, "9 GB with the copies exceed half of the 16 GB"),
        (99, Memory(None, None, 2, False), COPIES, "fits into free memory, not known here"),
    ],
)
def test_auto(needed, memory, where, reason):
    chosen = choose(needed * GB, memory)
    assert chosen.where == where
    assert reason in chosen.reason
    assert "\n" not in str(chosen)


def test_a_limit_comes_first():
    assert choose(3 * GB, CARDS, limit=2 * GB) == (STREAM, "more than data.memory_gb = 2")
    assert choose(3 * GB, CARDS, limit=4 * GB).where == COPIES
    assert choose(3 * GB, CARDS, "memory", limit=2 * GB).where == COPIES


def test_what_the_config_says():
    assert choose(1.0, CARDS, "stream") == (STREAM, "as data.feed says")
    assert choose(19 * GB, CARDS, "memory").where == COPIES
    assert choose(60 * GB, CARDS, "memory").where == SHARES
    with pytest.raises(ValueError, match=r"^data\.feed: 'memory' needs 70\.00 GB for the pict"):
        choose(70 * GB, CARDS, "memory")


def test_this_computer():
    memory = measure(jax.devices())
    assert memory.devices == jax.device_count()
    assert memory.on_host
    assert memory.device is None
    assert memory.host is None or 0 < memory.host < 1e15


def test_the_free_memory_of_a_container(tmp_path):
    assert free_host(str(tmp_path)) is None
    for name, text in {
        "proc/meminfo": "MemTotal:  9000 kB\nMemAvailable:   8000 kB\n",
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/memory.current": "5000000\n",
        "sys/fs/cgroup/memory.stat": "anon 4000000\nfile 1000000\nfile_dirty 3\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert free_host(str(tmp_path)) == 8000 * 1024
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("6000000\n")
    assert free_host(str(tmp_path)) == 2000000


def test_processes_go_by_the_least_of_their_memories():
    memories = [
        Memory(5.0, None, 8, False),
        Memory(4.0, 3.0, 8, False),
        Memory(None, 2.0, 8, False),
    ]
    assert least(memories) == Memory(4.0, 2.0, 8, False)
    assert least([Memory(None, None, 1, True)]) == Memory(None, None, 1, True)
