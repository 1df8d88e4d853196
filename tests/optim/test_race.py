import math

import pytest
import torch

from hybridopt.optim import Escape
from hybridopt.optim.inner import Inner
from hybridopt.optim.race import EXTENSIONS, LEAP, Race, after_rung, standings, winner
from hybridopt.optim.stage import Child


def child(losses, kind="noise 1", start=1.0) -> Child:
    return Child(kind, (torch.zeros(1),), Inner(), {}, start, tuple(losses))


def race(*children, parent=1.0, calls=32, length=64) -> Race:
    losses = tuple(parent for _ in range(calls)) if isinstance(parent, float) else tuple(parent)
    return Race(0, length, (0,), children, losses)


def falling(start, end, calls=32):
    return [start + (end - start) * call / (calls - 1) for call in range(calls)]


def approaching(start, limit, calls=32, rate=0.1):
    return [limit + (start - limit) * math.exp(-rate * call) for call in range(calls)]


def rank(run, distances=None):
    return standings(run, distances or [1.0] * len(run.children))


def test_a_child_that_is_to_overtake_ranks_before_one_that_came_back():
    overtakes, back = child(falling(3.0, 1.5)), child(approaching(1.5, 1.0))
    assert [standing.child for standing in rank(race(back, overtakes), [0.1, 1.0])] == [overtakes, back]


@pytest.mark.parametrize("at", [0, -3])
def test_a_child_that_was_lost_where_its_parent_was_not_has_no_gain(at):
    losses, own = [1.0] * 32, [0.5] * 32
    own[at], losses[at + 1] = math.inf, math.inf
    (standing,) = rank(race(child(own), parent=losses))
    assert standing.gain == (-math.inf if at else 0.5)


def test_a_child_at_rest_above_its_parent_has_no_hope_and_tells_of_other_minima():
    (standing,) = rank(race(child(approaching(3.0, 1.5))))
    assert standing.hope == 0
    assert standing.settled


def test_a_child_that_is_near_its_parent_again_tells_of_none():
    (standing,) = rank(race(child(approaching(3.0, 1.5))), [0.1])
    assert not standing.settled


def test_a_child_that_can_not_move_tells_of_none():
    (standing,) = rank(race(child([3.0] * 32)))
    assert not standing.settled


def test_a_child_far_away_on_the_same_plain_stays_in_the_race():
    (standing,) = rank(race(child([1.0] * 32)))
    assert standing.settled
    assert standing.hope > 0


@pytest.mark.parametrize(("calls", "children"), [(16, 1), (16, 6), (32, 1), (64, 6)])
def test_noise_alone_neither_wins_nor_tells_of_other_minima(calls, children):
    g = torch.Generator().manual_seed(0)
    wins = settled = 0
    for _ in range(200):
        parent, *others = (1 + 0.3 * torch.randn(1 + children, calls, generator=g)).tolist()
        run = race(*map(child, others), parent=parent)
        ranking = rank(run)
        wins += winner(run, ranking, Escape()) is not None
        settled += sum(standing.settled for standing in ranking)
    assert wins <= 2
    assert settled <= 4 * children


@pytest.mark.parametrize(("z", "wins"), [(0.0, True), (3.0, False), (40.0, False), (1e300, False)])
def test_with_too_few_pairs_only_who_asks_for_no_certainty_has_a_winner(z, wins):
    run = race(child([0.1] * 3), calls=3, length=3)
    assert (winner(run, rank(run), Escape(z=z)) is not None) == wins


@pytest.mark.parametrize("z", [20.0, 31.5, 33.0, 35.0, 37.0, 39.0])
@pytest.mark.parametrize("calls", [16, 32, 64])
def test_the_more_certainty_is_asked_for_the_less_noise_wins(z, calls):
    noisy = child([0.5 + 0.3 * (-1) ** call for call in range(calls)])
    run = race(noisy, noisy, calls=calls, length=calls)
    assert winner(run, rank(run), Escape(z=z)) is None


def test_without_noise_any_certainty_is_reached():
    run = race(child([0.1] * 32), child([0.5] * 32), length=32)
    assert winner(run, rank(run), Escape(z=1e300)) is not None


def test_a_win_before_the_end_takes_ten_times_the_margin():
    clear, narrow = child([0.8] * 32), child([0.95] * 32)
    assert winner(race(narrow, length=64), rank(race(narrow)), Escape()) is None
    assert winner(race(narrow, length=32), rank(race(narrow)), Escape()).child is narrow
    assert winner(race(clear, length=64), rank(race(clear)), Escape()).child is clear


def test_a_leap_must_gain_more_than_the_way_it_is_on():
    leap = child([0.95] * 32, LEAP)
    run = race(leap, length=32)
    assert winner(run, rank(run), Escape()) is None


def test_losses_that_are_not_finite_lose_and_a_finite_child_of_a_lost_parent_wins():
    run = race(child([math.inf] * 32), length=32)
    assert winner(run, rank(run), Escape()) is None
    good = child([5.0] * 32)
    run = race(good, parent=[math.inf] * 32, length=32)
    assert winner(run, rank(run), Escape()).child is good


def test_half_of_the_children_drop_out_at_a_rung():
    children = [child(falling(3.0, end)) for end in (1.2, 1.4, 1.6, 1.8)]
    run = race(*children)
    further = after_rung(run, rank(run))
    assert further is not None
    assert len(further.children) == 2


def test_the_race_ends_where_no_child_has_hope():
    run = race(child(approaching(3.0, 1.5)), child(approaching(2.0, 1.0)))
    assert after_rung(run, rank(run, [1.0, 0.1])) is None


def test_a_child_that_is_to_overtake_gets_more_time_but_not_for_ever():
    overtakes = child(falling(3.0, 1.5))
    run = race(overtakes, length=32)
    longer = after_rung(run, rank(run))
    assert longer is not None
    assert longer.length == 48
    assert after_rung(Race(**{**vars(run), "extensions": EXTENSIONS}), rank(run)) is None


@pytest.mark.parametrize("failures", [0, 3, 40])
def test_a_race_costs_what_its_price_says_and_grows_up_to_a_limit(failures):
    escape = Escape(length=64, longest=4, redraw=(0.1, 1.0), spread=(1.0,), products=6)
    calls = escape.calls(failures)
    assert calls == {0: 64, 3: 256, 40: 256}[failures]
    # 1 gradient, 6 products, 4 children, then 2 and a leap, then 2
    assert escape.price(failures) == 7 + calls // 4 * 4 + calls // 4 * 3 + calls // 2 * 2


def test_an_escape_without_children_is_refused():
    with pytest.raises(ValueError, match="no children"):
        Escape(redraw=(), spread=(), products=0)
