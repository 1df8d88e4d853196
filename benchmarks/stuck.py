"""Tasks in which plain training gets stuck: `Hybrid` beside its base and what else gets one unstuck.

    OMP_NUM_THREADS=1 python benchmarks/stuck.py --out stuck.jsonl          # goes on where the file ends
    OMP_NUM_THREADS=1 python benchmarks/stuck.py --methods hybrid --tasks xor --escape 'dict(children=2)'
    python benchmarks/stuck.py --report stuck.jsonl

Equal cost for all: the task's budget of closures, forward and backward. The report has the share of runs
that succeeded and the median of the final losses with bootstrap intervals (95 %), and tests `Hybrid` against
each method: Fisher's exact test of successes, Mann and Whitney's of losses, by Holm's rule over the methods.
The tests of a family (parity of 4, 6 and 8 bits) are stratified: runs of the same task are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from results import bench, escapes, interval
from rivals import RIVALS, best_of_grid
from scipy import stats
from stuck_tasks import ALL
from torch_tasks import Row

Stratum = tuple[np.ndarray, np.ndarray]  # finals of `Hybrid` and of the rival in one task


def report(rows: list[Row]) -> None:
    """Print a table for each task, and the tests of each family."""
    by_task = {name: _by_method([row for row in rows if row["task"] == name], name) for name in ALL}
    for name, methods in by_task.items():
        for method, found in methods.items():
            print(_line(name, method, found))
    families = {task.family or name: [] for name, task in ALL.items()}
    for name, task in ALL.items():
        families[task.family or name].append(name)
    for family, members in families.items():
        for line in _tests([name for name in members if by_task[name]], by_task):
            print(f"{family:12} {line}")


def _by_method(rows: list[Row], task: str) -> dict[str, list[Row]]:
    methods = {
        name: [row for row in rows if row["method"] == name] for name in {r["method"]: 0 for r in rows}
    }
    if "grid_best" in methods:
        methods["grid_best"] = best_of_grid(methods["grid_best"], ALL[task].threshold)
    return methods


def _line(name: str, method: str, rows: list[Row]) -> str:
    finals = _finals(rows)
    won = finals <= ALL[name].threshold
    low, high = interval(won, np.mean)
    best, worst = interval(finals, np.median)
    seconds = np.median([row["seconds"] for row in rows])
    words = f"lr {rows[0]['lr']}" if "lr" in rows[0] else escapes(rows)
    return (
        f"{name:12} {method:10} {len(rows):3} runs  {won.mean():4.0%} [{low:4.0%}, {high:4.0%}]  "
        f"median {np.median(finals):8.2g} [{best:8.2g}, {worst:8.2g}]  {seconds:5.2f} s  {words}"
    ).rstrip()


def _tests(names: Sequence[str], by_task: dict[str, dict[str, list[Row]]]) -> list[str]:
    """Each `Hybrid` against each method that has runs of all these tasks."""
    if not names:
        return []
    methods = [method for method in by_task[names[0]] if all(method in by_task[name] for name in names)]
    rivals = [method for method in methods if not method.startswith("hybrid")]
    lines = []
    for ours in (method for method in methods if method.startswith("hybrid")):
        strata = {
            rival: [(_finals(by_task[name][ours]), _finals(by_task[name][rival])) for name in names]
            for rival in rivals
        }
        wins = {
            rival: [_success(pair, ALL[name].threshold) for name, pair in zip(names, pairs, strict=True)]
            for rival, pairs in strata.items()
        }
        by_success = holm([exact_test(wins[rival]) for rival in rivals])
        by_loss = holm([rank_test(strata[rival]) for rival in rivals])
        for rival, success, loss in zip(rivals, by_success, by_loss, strict=True):
            a, n, b, m = np.sum(wins[rival], axis=0)
            lines.append(f"{ours} {a}/{n}, {rival} {b}/{m}: p {success:.2g} by success, {loss:.2g} by loss")
    return lines


def exact_test(tables: Sequence[tuple[int, int, int, int]]) -> float:
    """Two-sided p of success of a/n against b/m in each stratum, (a, n, b, m); Fisher's test if there is one.

    The sum of a, given all margins, is a sum of independent hypergeometric numbers.
    """
    density, seen = np.ones(1), 0
    for a, n, b, m in tables:
        density = np.convolve(density, stats.hypergeom(n + m, a + b, n).pmf(np.arange(n + 1)))
        seen += a
    return float(min(1.0, density[density <= density[seen] * (1 + 1e-7)].sum()))


def rank_test(strata: Sequence[Stratum]) -> float:
    """Two-sided p by the sum of ranks within the strata (van Elteren); Mann and Whitney's if there is one."""
    excess, variance = 0.0, 0.0
    for ours, theirs in strata:
        n, m = len(ours), len(theirs)
        ranks = stats.rankdata(np.concatenate([ours, theirs]))
        weight = 1 / (n + m + 1)
        excess += weight * (ranks[:n].sum() - n * ranks.mean())
        variance += weight**2 * n * m / (n + m) * ranks.var(ddof=1)
    return float(2 * stats.norm.sf(abs(excess) / variance**0.5)) if variance else 1.0


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted so that all of them together err as seldom as one."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.asarray(p)[order] * (len(p) - np.arange(len(p))))
    return np.minimum(adjusted, 1).tolist()


def _success(pair: Stratum, threshold: float) -> tuple[int, int, int, int]:
    ours, theirs = pair
    return int((ours <= threshold).sum()), len(ours), int((theirs <= threshold).sum()), len(theirs)


def _finals(rows: Sequence[Row]) -> np.ndarray:
    return np.array([row["final"] for row in rows], dtype=float)


if __name__ == "__main__":
    bench(__doc__, ALL, RIVALS, report)
