"""Several processes that train one model: they must decide alike, though each sees other data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.optim import Optimizer

T = TypeVar("T")


class Ranks:
    """The processes of a group; alone, if there is none.

    Parameters
    ----------
    group : torch.distributed.ProcessGroup, optional

    Raises
    ------
    RuntimeError
        In a distributed job of several processes, if no group is named.
    TypeError
        If `group` is none.
    """

    def __init__(self, group: Any = None) -> None:
        self.group = group
        self.check()

    @property
    def several(self) -> bool:
        """Whether there is more than one process."""
        return self.group is not None and torch.distributed.get_world_size(self.group) > 1

    def check(self) -> None:
        """Refuse to decide alone in a job of several."""
        if self.group is not None:
            if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
                raise RuntimeError(
                    "process_group was given, but torch.distributed is not initialised; call "
                    "torch.distributed.init_process_group first"
                )
            if not hasattr(self.group, "rank") or not hasattr(self.group, "size"):
                raise TypeError(
                    f"process_group must be a torch.distributed.ProcessGroup, got {self.group!r}; "
                    "pass torch.distributed.group.WORLD for all processes"
                )
            return
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            processes = torch.distributed.get_world_size()
            if processes > 1:
                raise RuntimeError(
                    f"Hybrid escapes by its losses, and this is one of {processes} processes: if each "
                    "decided by its own, their weights would part; pass "
                    "process_group=torch.distributed.group.WORLD (the processes that train this model "
                    "together), or escape=None for the base alone"
                )

    def means(self, numbers: Sequence[float], optimizer: Optimizer) -> list[float]:
        """Means over the processes, the same in each."""
        if not self.several or not numbers:
            return list(numbers)
        tensor = self._tensor(numbers, optimizer)
        torch.distributed.all_reduce(tensor, group=self.group)
        mean: list[float] = (tensor / torch.distributed.get_world_size(self.group)).tolist()
        return mean

    def same(self, number: int, optimizer: Optimizer) -> int:
        """The first process's number, in each."""
        if not self.several:
            return number
        tensor = torch.tensor([number % 2**63], dtype=torch.int64, device=_device(optimizer))
        torch.distributed.broadcast(
            tensor, torch.distributed.get_global_rank(self.group, 0), group=self.group
        )
        return int(tensor)

    def together(self, run: Callable[[], T], optimizer: Optimizer) -> T:
        """Run it; raise in all processes if it raised in one.

        Raises
        ------
        RuntimeError
            If another process had an error and this one had none.
        """
        try:
            result = run()
        except BaseException:
            self._tell(True, optimizer)
            raise
        if self._tell(False, optimizer):
            raise RuntimeError(
                "the closure or objective of another process raised while Hybrid ran it; all is as before "
                "the step"
            )
        return result

    def _tell(self, failed: bool, optimizer: Optimizer) -> bool:
        """Whether any process has failed."""
        return self.several and self.means([float(failed)], optimizer)[0] > 0

    def _tensor(self, numbers: Sequence[float], optimizer: Optimizer) -> Tensor:
        device = _device(optimizer)
        precise = torch.float32 if device.type == "mps" else torch.float64
        return torch.tensor(list(numbers), dtype=precise, device=device)

    def __getstate__(self) -> dict[str, Any]:
        return {"group": None}  # a process group lives in its process

    def __deepcopy__(self, memo: Any) -> Ranks:
        return self


def _device(optimizer: Optimizer) -> torch.device:
    for group in optimizer.param_groups:
        for param in group["params"]:
            return param.device  # type: ignore[no-any-return]
    return torch.device("cpu")
