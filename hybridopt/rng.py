"""Randomness as a hash of (seed, path, visit, step): the only place where generators are made.

Nothing here or elsewhere reads or moves a global generator. Where code of others can't do without one
(DEAP's operators, an objective that draws), `global_generators` seeds the global ones and puts them back.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import secrets
from collections.abc import Iterator

import numpy as np
import torch


def hash_seed(*parts: int | str) -> int:
    """Hash of the parts: an int in [0, 2**63)."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def child_seed(seed: int, place: int | str, visit: int = 0) -> int:
    """Seed of a child optimizer at `place` of its parent, entered for the `visit`-th time."""
    return hash_seed(seed, "child", place, visit)


def entropy_seed() -> int:
    """A fresh seed from the operating system, small enough to be typed again."""
    return secrets.randbits(32)


def generator(seed: int, *path: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` whose numbers depend on (seed, path) alone."""
    return torch.Generator(device=device).manual_seed(hash_seed(seed, *path))


@contextlib.contextmanager
def global_generators(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, numpy and torch inside the block; restore them after it."""
    python, array, tensor = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(array)  # noqa: NPY002
        torch.set_rng_state(tensor)


def global_generators_fingerprint() -> int:
    """A number that changes when anyone draws from a global generator."""
    kind, *state = np.random.get_state()  # noqa: NPY002
    array = (kind, *(np.asarray(part).tobytes() for part in state))
    return hash((random.getstate(), array, torch.get_rng_state().numpy().tobytes()))
