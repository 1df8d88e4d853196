"""Selection for whole populations: values in, rows out. Low values are better; NaN is not among them."""
# ruff: noqa: N802  (the names are DEAP's)

from __future__ import annotations

import torch
from torch import Tensor

from hybridopt.evolution.parameters import batched, check


@batched
def selTournament(value: Tensor, k: int, tournsize: int, *, generator: torch.Generator) -> Tensor:
    """Rows that win `k` tournaments, each among `tournsize` rows drawn with replacement; shape (k,)."""
    check("tournsize", tournsize)
    rows = torch.randint(len(value), (k, tournsize), generator=generator, device=value.device)
    winner = value.take(rows).argmin(1, keepdim=True)
    return rows.gather(1, winner).squeeze(1)


@batched
def selBest(value: Tensor, k: int, *, generator: torch.Generator | None = None) -> Tensor:
    """The `k` best rows, best first; shape (k,). Draws nothing; equal values come in any order."""
    return torch.topk(value, k, largest=False).indices
