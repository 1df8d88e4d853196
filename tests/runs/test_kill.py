"""Killed at any moment and resumed, an experiment loses no run, repeats none, and ends as if unbroken."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes in /proc")

COMMAND = [sys.executable, "-c", "from hybridopt.cli import main; main()", "run"]
CONFIG = """\
title: To be killed
seeds: {seeds}
comparisons:
  - budget: 300
    problems:
      - {{name: rastrigin, dim: 3}}
      - {{name: sphere, dim: 2}}
    optimizers:
      descent: {{name: adam, lr: 0.05}}
      evolution: {{name: genetic, population_size: 20}}
"""
TIMES = {"seconds", "ended"}


def start(config, folder):
    command = [*COMMAND, str(config), "--out", str(folder), "--jobs", "2", "--resume"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


def finish(config, folder):
    process = start(config, folder)
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, out.decode()


def rows(folder):
    """All rows in the order of their keys, apart from times."""
    with closing(sqlite3.connect(folder / "results.sqlite")) as database:
        cursor = database.execute("SELECT * FROM runs ORDER BY config_hash, seed")
        names = [column[0] for column in cursor.description]
        return [{n: v for n, v in zip(names, row, strict=True) if n not in TIMES} for row in cursor]


def ended(folder):
    """When each stored run ended."""
    try:
        with closing(sqlite3.connect(folder / "results.sqlite", timeout=60)) as database:
            return dict(database.execute("SELECT config_hash || seed, ended || seconds FROM runs").fetchall())
    except sqlite3.OperationalError:  # killed before there was a table
        return {}


def kill(process, how):
    """Kill -9 of the process alone, of its group, or of its children first."""
    if how == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif how == "children":
        for pid in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, signal.SIGKILL)
    process.kill()
    process.communicate()


def descendants(pid):
    children = [child for child, parent in parents().items() if parent == pid]
    return [*children, *(far for child in children for far in descendants(child))]


def parents():
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state_and_parent = stat.read_text().rpartition(")")[2].split()
            found[int(stat.parent.name)] = int(state_and_parent[1])
    return found


def killed_and_resumed(tmp_path, seeds, kills, longest):
    config = tmp_path / "it.yaml"
    config.write_text(CONFIG.format(seeds=seeds))
    finish(config, tmp_path / "unbroken")
    chance = random.Random(seeds)
    broken = tmp_path / "broken"
    for number in range(kills):
        process = start(config, broken)
        time.sleep(chance.uniform(0, longest))
        before = ended(broken) if broken.exists() else {}
        kill(process, ["alone", "group", "children"][number % 3])
        after = ended(broken) if broken.exists() else {}
        assert before.items() <= after.items()  # nothing was lost or done again
    before = ended(broken)
    finish(config, broken)
    assert before.items() <= ended(broken).items()
    assert rows(broken) == rows(tmp_path / "unbroken")
    assert len(rows(broken)) == 4 * seeds


def test_killed_three_times_it_ends_as_if_unbroken(tmp_path):
    killed_and_resumed(tmp_path, seeds=5, kills=3, longest=6.0)


@pytest.mark.slow
def test_killed_at_twenty_moments_it_ends_as_if_unbroken(tmp_path):
    killed_and_resumed(tmp_path, seeds=50, kills=20, longest=10.0)


def test_workers_end_with_the_process_that_gives_them_work(tmp_path):
    config = tmp_path / "long.yaml"
    config.write_text(CONFIG.format(seeds=2).replace("budget: 300", "budget: 100000000"))
    process = start(config, tmp_path / "out")
    deadline = time.monotonic() + 60
    while len(workers := descendants(process.pid)) < 4 and time.monotonic() < deadline:  # two serve, two work
        time.sleep(0.2)
    process.kill()
    process.communicate()
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(map(alive, workers))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
