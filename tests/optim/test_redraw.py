import pytest
import torch
from torch import nn

from hybridopt.optim import Hybrid
from hybridopt.optim.redraw import Layer, first_of, layers, redrawn

FIRSTS = [(0.0, 0.0)] * 4


def shapes(*modules):
    return [param.shape for param in nn.Sequential(*modules).parameters()]


def parents(hidden=10):
    g = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=g) for shape in ((hidden, 3), (hidden,), (2, hidden), (2,))]


def child(share, moments=(None,) * 4, seed=0, hidden=10):
    return redrawn(parents(hidden), share, moments, FIRSTS, seed)


def test_layers_of_a_network_are_found_by_shapes():
    found = layers(shapes(nn.Linear(3, 8), nn.LayerNorm(8), nn.Linear(8, 5, bias=False), nn.Linear(5, 2)))
    assert found == [Layer(8, (0, 1, 2, 3), 4), Layer(5, (4,), 5)]


def test_a_feature_map_is_read_by_its_flattened_columns():
    found = layers(shapes(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 6, 3), nn.Linear(6 * 9, 2)))
    assert found == [Layer(4, (0, 1, 2, 3), 4), Layer(6, (4, 5), 6)]


@pytest.mark.parametrize("alone", [nn.Linear(3, 1), nn.Embedding(7, 3), nn.LayerNorm(4)])
def test_a_single_layer_has_no_hidden_units_and_is_drawn_anew_as_a_whole(alone):
    assert layers(shapes(alone)) == []
    weights = [param.detach() for param in alone.parameters()]
    for share in (0.5, 1.0):
        drawn = redrawn(weights, share, [None] * len(weights), FIRSTS[: len(weights)], 0)
        assert not any(torch.isclose(new, old).all() for new, old in zip(drawn, weights, strict=True))


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.1, 1), (0.3, 3), (0.9, 9)])
def test_a_share_of_the_units_is_drawn_anew_with_all_that_belongs_to_them(share, count):
    for seed in range(20):
        weight, bias, reader, last = (
            new != old for new, old in zip(child(share, seed=seed), parents(), strict=True)
        )
        assert bias.sum() == count
        assert torch.equal(weight, bias[:, None].expand(10, 3))
        assert torch.equal(reader, bias.expand(2, 10))
        assert not last.any()


def test_units_without_second_moments_are_drawn_anew_first():
    moments = [torch.ones(10, 3), torch.ones(10), None, None]
    moments[0][[2, 7]] = 0.0
    for seed in range(20):
        changed = child(0.2, moments, seed)[1] != parents()[1]
        assert changed.nonzero().flatten().tolist() == [2, 7]


@pytest.mark.parametrize("moment", [0.0, torch.inf, torch.nan])
def test_second_moments_that_tell_nothing_do_no_harm(moment):
    drawn = {
        int((child(0.1, [torch.full((10, 3), moment), *[None] * 3], seed)[1] != parents()[1]).nonzero())
        for seed in range(40)
    }
    assert len(drawn) > 5


def test_the_same_name_gives_the_same_child():
    assert all(map(torch.equal, child(0.3, seed=1), child(0.3, seed=1)))
    assert not all(map(torch.equal, child(0.3, seed=1), child(0.3, seed=2)))


def test_a_fresh_child_is_drawn_as_the_first_weights_were():
    model = nn.Sequential(nn.Linear(400, 300, bias=False), nn.LayerNorm(300))
    firsts = [first_of(param) for param in model.parameters()]
    assert Hybrid(model.parameters())._escape.memory.firsts == tuple(firsts)
    with torch.no_grad():
        for param in model.parameters():
            param.add_(100.0)
    weight, gain, bias = redrawn(list(model.parameters()), 1.0, [None] * 3, firsts, 0)
    assert weight.std().item() == pytest.approx((1 / 3 / 400) ** 0.5, rel=0.02)
    assert torch.equal(gain, torch.ones(300))
    assert bias.std() < 0.2


def test_a_mean_that_few_entries_have_by_chance_is_not_handed_on():
    unlucky, sure = torch.tensor([-0.3, -0.1, -0.5]), torch.tensor([1.02, 0.98, 1.01, 0.99, 1.0, 1.0])
    seeds = range(500)
    drawn = [redrawn([unlucky, sure], 1.0, [None] * 2, [first_of(unlucky), first_of(sure)], s) for s in seeds]
    entries = torch.stack([child[0] for child in drawn])
    assert entries.mean().abs() < 0.03
    assert entries.std().item() == pytest.approx(unlucky.square().mean().sqrt().item(), rel=0.1)
    assert torch.stack([child[1] for child in drawn]).mean().item() == pytest.approx(1.0, abs=0.01)


def test_where_no_first_weight_was_drawn_fresh_ones_are_by_their_size():
    weights = [torch.tensor(1.0), torch.full((1000,), 4.0), torch.zeros(4)]
    number, vector, zeros = redrawn(weights, 1.0, [None] * 3, [first_of(weight) for weight in weights], 0)
    assert number != 1.0
    assert vector.mean().item() == pytest.approx(4.0, abs=0.4)
    assert vector.std().item() == pytest.approx(4.0, rel=0.1)
    assert zeros.abs().max() < 0.5
    for entry in (0.1, 0.3, 1 / 3):
        assert first_of(torch.full((10,), entry))[1] == 0
