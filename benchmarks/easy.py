"""Tasks in which plain training does not get stuck: what `Hybrid` costs there.

    OMP_NUM_THREADS=1 python benchmarks/easy.py --out easy.jsonl            # goes on where the file ends
    python benchmarks/easy.py --report easy.jsonl

Equal cost, so that closures which escapes spent in vain are missing in the training. The report has, of the
test losses, the mean difference of `Hybrid` and its base from the same first weights, with a bootstrap
interval (95 %). `Hybrid` is no worse if the upper end is below 2 % of the base's mean loss.
"""

from __future__ import annotations

import numpy as np
from easy_tasks import TASKS
from results import bench, escapes, interval
from torch_tasks import Row

MARGIN = 0.02  # of the base's mean test loss


def report(rows: list[Row]) -> None:
    """Print the losses of each task and method, and under them what `Hybrid` changes."""
    for task in TASKS:
        of_task = [row for row in rows if row["task"] == task]
        methods = sorted({row["method"] for row in of_task})
        for method in methods:
            found = [row for row in of_task if row["method"] == method]
            print(_line(task, method, found))
        for method in methods[1:] if methods[:1] == ["base"] else []:
            print(_difference(task, method, of_task))


def _line(task: str, method: str, rows: list[Row]) -> str:
    finals = np.array([row["final"] for row in rows])
    low, high = interval(finals, np.mean)
    seconds = np.median([row["seconds"] for row in rows])
    return (
        f"{task:12} {method:8} {len(rows):3} runs  mean {finals.mean():.4f} [{low:.4f}, {high:.4f}]  "
        f"{seconds:5.2f} s  {escapes(rows)}"
    ).rstrip()


def _difference(task: str, method: str, rows: list[Row]) -> str:
    """In shares of the base's mean loss, over the seeds that both have."""
    of_base, of_hybrid = (
        {row["seed"]: row["final"] for row in rows if row["method"] == name} for name in ("base", method)
    )
    seeds = sorted(of_base.keys() & of_hybrid.keys())
    if not seeds:
        return f"{task:12} {method} less base: no seed in common"
    scale = np.mean([of_base[seed] for seed in seeds])
    changes = np.array([of_hybrid[seed] - of_base[seed] for seed in seeds]) / scale
    low, high = interval(changes, np.mean)
    verdict = "no worse" if high <= MARGIN else "worse" if low > MARGIN else "undecided"
    equal = np.mean(changes == 0)
    return (
        f"{task:12} {method} less base: {changes.mean():+.2%} [{low:+.2%}, {high:+.2%}] of {scale:.4f}, "
        f"margin {MARGIN:.0%}: {verdict}; {equal:.0%} of {len(seeds)} pairs are equal"
    )


if __name__ == "__main__":
    bench(__doc__, TASKS, {}, report)
