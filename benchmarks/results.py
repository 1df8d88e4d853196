"""Rows of runs in a file of JSON lines: appended one by one, so that nothing is lost and a run goes on."""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch_tasks import Row, Training, base, hybrid

from hybridopt import conditions

Key = tuple[str, str, int]  # task, method, seed
Method = Callable[[Training, int], Row]


def bench(
    description: str,
    tasks: dict[str, Training],
    rivals: dict[str, Method],
    report: Callable[[list[Row]], None],
) -> None:
    """Run what the command line asks for, base and `Hybrid` beside the rivals, then report."""
    asked = _arguments(description, list(tasks), ["base", *rivals, "hybrid"])
    torch.set_num_threads(1)
    if asked.report:
        report(read(asked.report))
        return
    # conditions are at hand by name
    escape = eval(asked.escape, vars(conditions).copy()) if asked.escape else {}
    ours = f"hybrid {asked.escape}".strip()
    methods = {"base": base, **rivals, ours: functools.partial(hybrid, escape=escape)}
    names = [ours if name == "hybrid" else name for name in asked.methods]
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    keys = itertools.product(asked.tasks, names, seeds)
    rows = collect(keys, lambda task, method, seed: methods[method](tasks[task], seed), asked.out)
    report([row for row in rows if row["task"] in asked.tasks])


def _arguments(description: str, tasks: list[str], methods: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", default=tasks, choices=tasks, metavar="TASK")
    parser.add_argument("--methods", nargs="+", default=methods, choices=methods, metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--escape", default="", help="options of Escape, such as 'dict(children=2)'")
    parser.add_argument("--out", type=Path, help="file to append to; runs that it has are left out")
    parser.add_argument("--report", type=Path, nargs="+", metavar="FILE", help="print these, run nothing")
    return parser.parse_args()


def collect(keys: Iterable[Key], run: Callable[[str, str, int], Row], out: Path | None) -> list[Row]:
    """Rows of all runs, those in the file as they are; new ones are appended to it and printed."""
    rows = read([out]) if out and out.exists() else []
    done = {(row["task"], row["method"], row["seed"]) for row in rows}
    for key in keys:
        if key in done:
            continue
        began = time.perf_counter()
        row = dict(zip(("task", "method", "seed"), key, strict=True)) | run(*key)
        row["seconds"] = round(time.perf_counter() - began, 3)
        rows.append(row)
        print(json.dumps(row), flush=True)
        if out:
            _append(out, row)
    return rows


def _append(out: Path, row: Row) -> None:
    cut_off = out.exists() and not out.read_text().endswith("\n")
    with out.open("a") as file:
        file.write("\n" * cut_off + json.dumps(row) + "\n")


def read(files: Iterable[Path]) -> list[Row]:
    """All rows of these files; a line that was cut off by a kill is left out."""
    rows = []
    for file in files:
        for line in file.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                print(f"{file}: left out a line that is cut off: {line[:40]}...")
    return rows


def interval(values: Iterable[float], statistic: Callable[..., np.ndarray]) -> tuple[float, float]:
    """Percentile bootstrap, 95 %, of a statistic that takes `axis`."""
    values = np.asarray(list(values), dtype=float)
    drawn = np.random.default_rng(0).choice(values, (2000, len(values)))
    low, high = np.quantile(statistic(drawn, axis=1), (0.025, 0.975), method="nearest")
    return float(low), float(high)


def escapes(rows: list[Row]) -> str:
    """How many escapes a run were tried and accepted, and the share of cost that went into the others."""
    if not rows or "tried" not in rows[0]:
        return ""
    tried, accepted = (np.mean([row[key] for row in rows]) for key in ("tried", "accepted"))
    share = np.mean([row["wasted"] / row["cost"] for row in rows])
    return f"{tried:.1f} escapes, {accepted:.1f} accepted, {share:.1%} of cost on the others"
