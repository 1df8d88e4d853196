"""Randomness is a hash; nobody's global generator is touched."""

import random

import numpy as np
import pytest
import torch

from hybridopt import rng


def test_seeds_depend_on_every_part_and_their_order():
    seeds = [rng.hash_seed(*parts) for parts in [(1, 2), (2, 1), (1, 2, 0), (12,), ("1", 2), (1, "2")]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_hash_is_the_same_on_every_machine_and_version():
    assert rng.hash_seed(0, "child", 1, 2) == rng.child_seed(0, 1, 2) == 8396550242192229910


def test_generators_of_one_path_agree_and_of_others_do_not():
    draws = [torch.rand(5, generator=rng.generator(7, *path)) for path in [(1,), (1,), (2,), (1, 0)]]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not torch.equal(draws[0], draws[3])


def draw():
    return random.random(), float(np.random.rand()), float(torch.rand(()))  # noqa: NPY002


def test_global_generators_repeat_inside_and_go_on_after():
    with rng.global_generators(3):
        inside = draw()
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    expected = [draw(), draw()]
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    got = [draw()]
    with pytest.raises(KeyError), rng.global_generators(3):
        assert draw() == inside
        raise KeyError
    assert [*got, draw()] == expected


@pytest.mark.parametrize("draw_one", [random.random, np.random.rand, lambda: torch.rand(())])
def test_fingerprint_sees_every_draw(draw_one):
    before = rng.global_generators_fingerprint()
    assert rng.global_generators_fingerprint() == before
    draw_one()
    assert rng.global_generators_fingerprint() != before
