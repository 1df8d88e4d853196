"""SHADE and L-SHADE against transcriptions in numpy, distributions of scipy, and known minima."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from hybridopt import LSHADE, SHADE, problems
from hybridopt.core import Evaluation
from hybridopt.evolution.differential import archive, history, variation
from hybridopt.evolution.differential.history import TERMINAL, History
from hybridopt.rng import generator

COUNT, DIM = 9, 4


def bowl(x):
    return (x - 1.3).square().sum(1)


def box(dim=DIM, dtype=torch.float64):
    return torch.full((dim,), -5.0, dtype=dtype), torch.full((dim,), 4.0, dtype=dtype)


def begin(optimizer, dim=DIM, seed=0, bounds=None):
    lower, upper = bounds or box(dim)
    return optimizer.init(lower[None].clamp(-5), lower, upper, seed=seed)


def evolve(optimizer, state, generations, fun=bowl):
    for _ in range(generations):
        x = optimizer.ask(state).x
        assert ((x >= state.lower) & (x <= state.upper)).all()
        state = optimizer.tell(state, Evaluation(x, fun(x)))
    return state


def history_of(scale, rate, turn=0, dtype=torch.float64):
    return History(torch.tensor(scale, dtype=dtype), torch.tensor(rate, dtype=dtype), torch.tensor(turn))


# --- one generation, transcribed


def generation_by_numpy(state, greediest):
    """Children of a population as the papers have them, row by row, of the same random numbers."""
    count, dim = state.x.shape
    g = generator(state.seed, state.step)
    scale, rate = (t.numpy() for t in history.draw(state.history, count, g))
    kind = {"generator": g, "dtype": torch.float64}
    u, genes = torch.rand(5, count, **kind).numpy(), torch.rand(count, dim, generator=g).numpy()
    x, lower, upper = state.x.numpy(), state.lower.numpy(), state.upper.numpy()
    ranked = np.argsort(state.value.numpy(), kind="stable")
    beaten = list(state.archive.x.numpy()[: int(state.archive.count)])
    children = []
    for i in range(count):
        share = 2 / count + (greediest - 2 / count) * u[0, i]
        best = x[ranked[int(u[1, i] * max(2, round(share * count)))]]
        others = [r for r in range(count) if r != i]
        r1 = others[int(u[2, i] * len(others))]
        union = [row for r, row in enumerate([*x, *beaten]) if r not in (i, r1)]
        r2 = union[int(u[3, i] * len(union))]
        v = x[i] + scale[i] * (best - x[i]) + scale[i] * (x[r1] - r2)
        v = np.where(v < lower, (lower + x[i]) / 2, np.where(v > upper, (upper + x[i]) / 2, v))
        forced = int(u[4, i] * dim)
        children.append([v[j] if genes[i, j] < rate[i] or j == forced else x[i, j] for j in range(dim)])
    return np.array(children)


@pytest.mark.parametrize("seed", range(5))
def test_children_are_those_of_a_transcription_of_the_paper(seed):
    optimizer = SHADE(COUNT, best_share=0.5)
    state = evolve(optimizer, begin(optimizer, seed=seed), 8)
    assert state.archive.count > 0
    expected = torch.from_numpy(generation_by_numpy(state, 0.5))
    torch.testing.assert_close(optimizer.ask(state).x, expected, rtol=1e-12, atol=1e-12)


def memory_by_numpy(memory, scale, rate, before, after, second):
    """One update of the memory, as algorithm 1 of the second paper (or the first) has it."""
    m_f, m_cr, k = memory.scale.numpy().copy(), memory.rate.numpy().copy(), int(memory.turn)
    won = [i for i in range(len(before)) if after[i] < before[i]]
    if not won:
        return m_f, m_cr, k
    w = np.array([before[i] - after[i] for i in won])
    w, s_f, s_cr = w / w.sum(), scale[won], rate[won]
    m_f[k] = (w * s_f**2).sum() / (w * s_f).sum()
    if not second:
        m_cr[k] = (w * s_cr).sum()
    elif m_cr[k] == TERMINAL or s_cr.max() == 0:
        m_cr[k] = TERMINAL
    else:
        m_cr[k] = (w * s_cr**2).sum() / (w * s_cr).sum()
    return m_f, m_cr, (k + 1) % len(m_f)


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("case", ["some", "none", "rates of 0", "terminal before"])
def test_memory_is_that_of_a_transcription_of_the_paper(case, second):
    rng = np.random.default_rng(3)
    scale, rate = rng.uniform(0.1, 1, COUNT), rng.uniform(0, 1, COUNT) * (case != "rates of 0")
    before, after = rng.normal(size=COUNT), rng.normal(size=COUNT) + 10 * (case == "none")
    memory = history_of([0.5, 0.6, 0.7], [0.4, 0.3, TERMINAL if case == "terminal before" else 0.2], turn=2)
    weight = history.weights(torch.from_numpy(before), torch.from_numpy(after))
    found = history.remember(
        memory, torch.from_numpy(scale), torch.from_numpy(rate), weight, lehmer_rate=second
    )
    m_f, m_cr, turn = memory_by_numpy(memory, scale, rate, before, after, second)
    assert found.scale.numpy() == pytest.approx(m_f)
    assert found.rate.numpy() == pytest.approx(m_cr)
    assert int(found.turn) == turn


def test_survivors_are_the_better_and_children_as_good_as_their_parents():
    optimizer = SHADE(COUNT)
    state = evolve(optimizer, begin(optimizer), 3)
    x = optimizer.ask(state).x
    value = state.value + torch.tensor([0.0, 1.0, -1.0] * 3)
    after = optimizer.tell(state, Evaluation(x, value))
    kept = torch.tensor([True, False, True] * 3)
    assert torch.equal(after.x, torch.where(kept[:, None], x, state.x))
    assert torch.equal(after.value, torch.minimum(value, state.value))
    entered = {tuple(row) for row in after.archive.x[: int(after.archive.count)].tolist()}
    known = {tuple(row) for row in state.archive.x[: int(state.archive.count)].tolist()}
    beaten = {tuple(row) for row in state.x[2::3].tolist()}
    assert entered <= known | beaten
    assert len(entered) == min(COUNT, len(known | beaten))


# --- distributions


def test_scale_factors_are_cauchy_drawn_again_below_0_and_cut_off_at_1():
    g = torch.Generator().manual_seed(0)
    for middle in (0.05, 0.5, 0.9):
        u = torch.rand(20_000, generator=g, dtype=torch.float64)
        number = history.cauchy(torch.full_like(u, middle), u).numpy()
        law = stats.cauchy(middle, 0.1)
        above = law.sf(0)
        assert (number > 0).all()
        assert (number == 1).mean() == pytest.approx(law.sf(1) / above, abs=0.015)
        below_1 = number[number < 1]
        share = (law.cdf(below_1) - law.cdf(0)) / (law.cdf(1) - law.cdf(0))
        assert stats.kstest(share, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scale_factors_are_in_range_at_the_ends_of_chance(dtype):
    u = torch.tensor([0.0, 1 - torch.finfo(dtype).eps], dtype=dtype)
    for middle in (1e-6, 0.5, 1.0):
        number = history.cauchy(torch.full_like(u, middle), u)
        assert number.dtype == dtype
        assert (number > 0).all()
        assert float(number[1]) == 1.0


def test_crossover_rates_are_normal_cut_off_and_0_once_terminal():
    g = torch.Generator().manual_seed(1)
    z = torch.randn(20_000, generator=g, dtype=torch.float64)
    rate = history.normal(torch.full_like(z, 0.9), z).numpy()
    assert (rate == 1).mean() == pytest.approx(stats.norm(0.9, 0.1).sf(1), abs=0.01)
    inside = rate[rate < 1]
    law = stats.truncnorm(-9, 1, 0.9, 0.1)
    assert stats.kstest(inside, law.cdf).pvalue > 1e-3
    assert (history.normal(torch.full_like(z, TERMINAL), z) == 0).all()


def test_draws_come_around_every_place_of_the_memory_alike():
    memory = history_of([0.1, 0.9], [0.0, 1.0])
    scale, rate = history.draw(memory, 20_000, torch.Generator().manual_seed(2))
    second = rate > 0.5
    assert float(second.double().mean()) == pytest.approx(0.5, abs=0.02)
    assert float(scale[second].median()) > 0.8
    assert float(scale[~second].median()) < 0.3


def test_other_rows_are_uniform_and_differ_from_their_row_and_each_other():
    count, pool, draws = 5, 8, 4000
    g = torch.Generator().manual_seed(3)
    pairs = [
        torch.stack(variation.two_others(*torch.rand(2, count, generator=g), torch.tensor(pool)))
        for _ in range(draws)
    ]
    for row in range(count):
        r1, r2 = np.array([pair[:, row].tolist() for pair in pairs]).T
        assert not ((r1 == row) | (r2 == row) | (r1 == r2)).any()
        seen = np.zeros((count, pool))
        np.add.at(seen, (r1, r2), 1)
        possible = [(a, b) for a in range(count) for b in range(pool) if row not in (a, b) and a != b]
        assert stats.chisquare([seen[pair] for pair in possible]).pvalue > 1e-4


def test_places_stay_below_their_count_where_float32_rounds_up():
    u = torch.tensor([1 - 2**-24])
    assert variation.place(u, 2**24).item() == 2**24 - 1
    assert variation.place(u, 10**7).item() <= 10**7 - 1
    assert variation.place(u, torch.tensor(0)).item() == 0


def test_the_archive_leaves_out_every_row_alike_and_keeps_only_what_was_beaten():
    x = torch.arange(6.0)[:, None]
    beaten = torch.tensor([True, True, False, True, True, False])
    times = np.zeros(6)
    for seed in range(2000):
        kept = archive.put(archive.empty(2, x), x, beaten, 2, torch.Generator().manual_seed(seed))
        assert int(kept.count) == 2
        times[kept.x[:, 0].long().tolist()] += 1
    assert times[[2, 5]].tolist() == [0, 0]
    assert stats.chisquare(times[[0, 1, 3, 4]]).pvalue > 1e-4


def test_an_archive_that_is_not_full_takes_all():
    x = torch.arange(5.0)[:, None]
    g = torch.Generator().manual_seed(0)
    first = archive.put(archive.empty(5, x), x, x[:, 0] == 3, 5, g)
    second = archive.put(first, x, x[:, 0] < 2, 5, g)
    assert int(first.count) == 1
    assert sorted(second.x[: int(second.count), 0].tolist()) == [0.0, 1.0, 3.0]


# --- bounds


def test_what_leaves_the_box_comes_back_halfway_to_its_parent():
    lower, upper = torch.tensor([0.0, 0.0]), torch.tensor([1.0, torch.inf])
    x = torch.tensor([[0.5, 2.0]])
    assert variation.repaired(torch.tensor([[1.5, -3.0]]), x, lower, upper).tolist() == [[0.75, 1.0]]
    assert variation.repaired(torch.tensor([[0.2, 9.0]]), x, lower, upper).tolist() == [
        [pytest.approx(0.2), 9.0]
    ]


def test_the_forced_gene_is_never_a_fixed_one():
    lower = torch.tensor([0.0, 1.0, 0.0, 2.0])
    upper = torch.tensor([1.0, 1.0, 1.0, 2.0])
    g = torch.Generator().manual_seed(0)
    gene = variation.free_gene(torch.rand(1000, generator=g), lower, upper)
    assert gene.unique().tolist() == [0, 2]
    assert variation.free_gene(torch.rand(9, generator=g), lower, lower).unique().numel() == 1


def test_fixed_variables_stay_and_the_others_are_found():
    lower, upper = box()
    lower[1] = upper[1] = 2.0
    optimizer = SHADE(20)
    state = evolve(optimizer, begin(optimizer, bounds=(lower, upper)), 150)
    assert (state.x[:, 1] == 2).all()
    assert float(state.value.min()) == pytest.approx(0.49, abs=1e-8)


# --- edges


def test_where_nothing_is_finite_the_search_moves_and_learns_nothing():
    optimizer = SHADE(6)
    state = begin(optimizer)
    start = state.x
    state = evolve(optimizer, state, 20, lambda x: torch.full_like(x[:, 0], torch.inf))
    assert not torch.equal(state.x, start)
    assert torch.isfinite(state.x).all()
    assert (state.history.scale == 0.5).all()
    assert (state.history.rate == 0.5).all()
    assert int(state.archive.count) == 0


def test_the_first_finite_value_of_a_row_counts_like_the_largest_gain():
    inf = torch.inf
    before, after = torch.tensor([inf, 5.0, inf, 1.0]), torch.tensor([3.0, 1.0, inf, 2.0])
    assert history.weights(before, after).tolist() == [0.5, 0.5, 0.0, 0.0]
    assert history.weights(before, torch.tensor([3.0, 5.0, inf, 1.0])).tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_gains_of_any_size_give_shares(size):
    before = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64) * size
    share = history.weights(before, torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(share, torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64) / 6)


@pytest.mark.parametrize("optimizer", [SHADE(4), SHADE(4, archive_share=0.0), LSHADE(1000, 4)])
def test_four_rows_are_enough(optimizer):
    state = evolve(optimizer, begin(optimizer, dim=1), 100)
    assert float(state.value.min()) < 1e-2


@pytest.mark.parametrize("make", [lambda: SHADE(30), lambda: LSHADE(6000)])
def test_float32_goes_to_its_precision(make):
    optimizer = make()
    bounds = box(dtype=torch.float32)
    state = evolve(optimizer, begin(optimizer, bounds=bounds), 150)
    assert state.x.dtype == state.history.scale.dtype == state.archive.x.dtype == torch.float32
    assert float(state.value.min()) < 1e-10


def test_values_are_of_all_data_since_they_last():
    optimizer = SHADE(5)
    state = begin(optimizer)
    assert optimizer.ask(state).sample == -1
    assert optimizer.ask(evolve(optimizer, state, 2)).sample == -1


# --- the shrinking population


def test_the_population_shrinks_on_a_line_to_four_and_the_budget_is_kept():
    optimizer = LSHADE(max_evals=3000, population_size=60)
    state, spent = begin(optimizer), 0
    while spent < 3000:
        spent += state.x.shape[0]
        state = evolve(optimizer, state, 1)
        expected = max(4, round(60 + (4 - 60) * min(1.0, spent / 3000)))
        assert state.x.shape[0] == expected
        assert state.archive.x.shape[0] == round(2.6 * expected)
        assert state.evaluations == spent
    assert spent < 3000 + 60
    assert evolve(optimizer, state, 5).x.shape[0] == 4


def test_the_best_rows_are_kept_where_the_population_shrinks():
    optimizer = LSHADE(max_evals=400, population_size=40)
    state = begin(optimizer)
    for _ in range(8):
        query = optimizer.ask(state)
        value = bowl(query.x)
        before = torch.minimum(value, state.value).sort().values
        state = optimizer.tell(state, Evaluation(query.x, value))
        assert torch.equal(state.value.sort().values, before[: len(state.value)])
        assert torch.equal(state.value, bowl(state.x))


def test_the_first_population_has_18_rows_a_dimension():
    assert begin(LSHADE(1000), dim=3).x.shape == (54, 3)


# --- success


@pytest.mark.parametrize("make", [lambda: SHADE(30), lambda: LSHADE(5000)], ids=["SHADE", "LSHADE"])
@pytest.mark.parametrize(("name", "rate"), [("sphere", 20), ("ackley", 19), ("bbob_f3", 17)])
def test_known_minima_in_the_plane_are_found_from_20_seeds(make, name, rate):
    found = 0
    for seed in range(20):
        p = problems.make(name, dim=2, seed=seed)
        optimizer = make()
        state = begin(optimizer, seed=seed, bounds=(p.lower, p.upper))
        while state.evaluations < 5000 and state.value.min() > p.value + 1e-6:
            state = evolve(optimizer, state, 1, p.fun)
        found += int(state.value.min() <= p.value + 1e-6)
    assert found >= rate


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "rate"), [(lambda: LSHADE(50_000), 20), (lambda: SHADE(lehmer_rate=True), 17)]
)
def test_a_curved_valley_in_ten_dimensions_is_followed_from_20_seeds(make, rate):
    found = 0
    for seed in range(20):
        p = problems.make("rosenbrock", dim=10, seed=seed)
        optimizer = make()
        state = begin(optimizer, seed=seed, bounds=(p.lower, p.upper))
        while state.evaluations < 50_000 and state.value.min() > p.value + 1e-6:
            state = evolve(optimizer, state, 1, p.fun)
        found += int(state.value.min() <= p.value + 1e-6)
    assert found >= rate


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SHADE(3), "population_size must be at least 4, got 3"),
        (lambda: SHADE(memory_size=0), "memory_size must be at least 1"),
        (lambda: SHADE(best_share=0), "best_share must be above 0 and at most 1, got 0"),
        (lambda: SHADE(archive_share=math.inf), "archive_share must be finite and at least 0"),
        (lambda: LSHADE(0), "max_evals must be at least 1"),
        (lambda: LSHADE(100, 3), "population_size must be at least 4"),
        (lambda: LSHADE(100, best_share=2), "best_share must be above 0"),
    ],
)
def test_impossible_options_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
