"""A deliberately wrong optimizer of every kind is caught, and no right one is."""

import pytest
import wrong_optimizers as wrong

from hybridopt.verify import verify


def test_there_are_more_than_ten_kinds_of_wrongness():
    assert len(wrong.WRONG) > 10


@pytest.mark.parametrize("kind", wrong.WRONG)
def test_wrong_optimizer_is_caught(kind):
    optimizer, reference, catchers = wrong.WRONG[kind]
    report = verify({kind: optimizer}, catchers, reference=reference)
    assert [row.baseline for row in report.failures] == catchers


@pytest.mark.parametrize("kind", wrong.RIGHT)
def test_right_optimizer_of_the_same_make_passes(kind):
    optimizer, reference, names = wrong.RIGHT[kind]
    assert verify({kind: optimizer}, names, reference=reference).passed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("kind", wrong.WRONG)
def test_wrong_optimizer_is_caught_on_other_data(kind, seed):
    optimizer, reference, _ = wrong.WRONG[kind]
    assert not verify({kind: optimizer}, reference=reference, seed=seed).passed


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", wrong.RIGHT)
def test_right_optimizer_passes_on_other_data(kind, seed):
    optimizer, reference, _ = wrong.RIGHT[kind]
    assert verify({kind: optimizer}, reference=reference, seed=seed).passed
