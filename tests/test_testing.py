"""For every law optimizers that break it, and (nearly) no other."""

import ast
import random
import re
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import hybridopt.testing
from hybridopt import Alternate
from hybridopt.conditions import Steps
from hybridopt.core import Query, State, Traits, best_rows, project
from hybridopt.rng import generator
from hybridopt.testing import LAWS, Case, LawError, check_optimizer, parametrization
from hybridopt.testing.fake_cuda import fake_cuda

FLOAT32, FLOAT64 = Case(dtype=torch.float32), Case(dtype=torch.float64)


@dataclass(frozen=True)
class SoundState(State):
    move: Tensor  # (population, dim)
    extra: object = None


@dataclass(frozen=True)
class Sound:
    """Noisy steps down from the best point of each row: passes every law."""

    traits: ClassVar[Traits] = Traits(order=1, stochastic=True, shift_equivariant=True)

    def init(self, x, lower, upper, *, seed):
        x = project(x, lower, upper)
        return SoundState(
            x, torch.full_like(x[:, 0], torch.inf), lower, upper, seed, 0, move=torch.zeros_like(x)
        )

    def ask(self, state):
        return Query(self.repaired(self.wanted(state), state), order=1, sample=state.step)

    def tell(self, state, evaluation):
        better = evaluation.value < state.value
        finite = torch.isfinite(evaluation.grad)
        return replace(
            state,
            x=torch.where(better[:, None], evaluation.x, state.x),
            value=torch.where(better, evaluation.value, state.value),
            step=state.step + 1,
            move=torch.where(finite, -0.02 * evaluation.grad, 0.0),
        )

    def wanted(self, state):
        return state.x + state.move + 0.1 * self.noise(state)

    def repaired(self, x, state):
        return project(x, state.lower, state.upper)

    def noise(self, state):
        x = state.x
        g = generator(state.seed, "noise", state.step, device=x.device)
        return torch.randn(x.shape, generator=g, dtype=x.dtype, device=x.device)


# --- the contract


@dataclass(frozen=True)
class CountsItsAsks(Sound):
    asks: list = field(default_factory=list)

    def ask(self, state):
        self.asks.append(state.step)
        query = super().ask(state)
        inside = query.x + 1e-3 * (len(self.asks) % 2)
        return query._replace(x=self.repaired(inside, state))


class TellsInPlace(Sound):
    def tell(self, state, evaluation):
        evaluation.grad.mul_(0.5)
        return super().tell(state, evaluation)


class SharesItsMove(Sound):
    """A move that the next tell changes in place, in the old state too."""

    def tell(self, state, evaluation):
        told = super().tell(state, evaluation)
        return replace(told, move=state.move.copy_(told.move))


@dataclass(frozen=True)
class RemembersItself(Sound):
    """Moves are kept by step, but not in the state: pure within one run."""

    moves: dict = field(default_factory=dict)

    def wanted(self, state):
        return super().wanted(state) + self.moves.get(state.step, 0.0)

    def tell(self, state, evaluation):
        told = super().tell(state, evaluation)
        self.moves[told.step] = told.move
        return told


class HoldsASet(Sound):
    def init(self, x, lower, upper, *, seed):
        return replace(super().init(x, lower, upper, seed=seed), extra={1, 2})


class CountsByTwo(Sound):
    def tell(self, state, evaluation):
        return replace(super().tell(state, evaluation), step=state.step + 2)


class MovesItsBounds(Sound):
    def tell(self, state, evaluation):
        return replace(super().tell(state, evaluation), upper=state.upper * 0.999)


class AsksForMore(Sound):
    traits = Traits(order=0, stochastic=True, shift_equivariant=True)


class AsksOneRowFlat(Sound):
    def ask(self, state):
        query = super().ask(state)
        return query._replace(x=query.x[0])


class AsksWithADirection(Sound):
    def ask(self, state):
        query = super().ask(state)
        return query._replace(direction=query.x)


class MovesOnAfterTheValue(Sound):
    def tell(self, state, evaluation):
        told = super().tell(state, evaluation)
        return replace(told, x=self.repaired(told.x + told.move, state))


class NeverKeepsAValue(Sound):
    def tell(self, state, evaluation):
        return replace(super().tell(state, evaluation), value=state.value)


# --- space


class Unprojected(Sound):
    def repaired(self, x, state):
        return x


class ScalesTheBox(Sound):
    """Unit coordinates of a box that may be infinite: NaN."""

    def repaired(self, x, state):
        share = (x - state.lower) / (state.upper - state.lower)
        return state.lower + share.clamp(0, 1) * (state.upper - state.lower)


class DrawsDoubles(Sound):
    def noise(self, state):
        return torch.randn(state.x.shape, generator=generator(state.seed, state.step), dtype=torch.float64)


class KeepsHalves(Sound):
    def init(self, x, lower, upper, *, seed):
        return replace(super().init(x, lower, upper, seed=seed), extra={"mean": x[0].half()})


class DrawsOnTheCPU(Sound):
    def noise(self, state):
        g = generator(state.seed, "noise", state.step)
        return torch.randn(state.x.shape, generator=g, dtype=state.x.dtype)


class DrawsFromTheCPU(Sound):
    """This works on fake tensors, but not on a GPU."""

    def noise(self, state):
        g = generator(state.seed, "noise", state.step)
        return torch.randn(state.x.shape, generator=g, dtype=state.x.dtype, device=state.x.device)


class AddsACPUTensor(Sound):
    def tell(self, state, evaluation):
        told = super().tell(state, evaluation)
        return replace(told, move=told.move + torch.full(told.move.shape, 1e-3, dtype=told.move.dtype))


class RepairsOnTheCPU(Sound):
    """In a branch that is rarely taken."""

    def repaired(self, x, state):
        if torch.isnan(x).any():
            x = x + torch.full(x.shape, 0.5, dtype=x.dtype)
        return super().repaired(x, state)


class AsksOnTheCPU(Sound):
    def ask(self, state):
        query = super().ask(state)
        return query._replace(x=query.x.cpu())


class KeepsACPUTensor(Sound):
    def init(self, x, lower, upper, *, seed):
        return replace(super().init(x, lower, upper, seed=seed), extra=torch.zeros(len(x), dtype=x.dtype))


class PullsToTheOrigin(Sound):
    def wanted(self, state):
        return super().wanted(state) * 0.99


# --- chance


class ReadsTheGlobalSeed(Sound):
    def noise(self, state):
        g = generator(state.seed, torch.initial_seed(), state.step, device=state.x.device)
        return torch.randn(state.x.shape, generator=g, dtype=state.x.dtype, device=state.x.device)


class SeedsTorch(Sound):
    def noise(self, state):
        torch.manual_seed(state.seed + state.step)
        return torch.randn_like(state.x)


class SeedsNumpy(Sound):
    def noise(self, state):
        np.random.seed((state.seed + state.step) % 2**32)  # noqa: NPY002
        return state.x.new_tensor(np.random.normal(size=tuple(state.x.shape)))  # noqa: NPY002


class SeedsPython(Sound):
    def noise(self, state):
        random.seed(state.seed + state.step)
        return super().noise(state) * random.random()


class IgnoresTheSeed(Sound):
    def noise(self, state):
        return super().noise(replace(state, seed=0))


class HidesItsChance(Sound):
    traits = Traits(order=1, stochastic=False, shift_equivariant=True)


@dataclass(frozen=True)
class KeepsItsFirstSeed(Sound):
    seeds: dict = field(default_factory=dict)

    def init(self, x, lower, upper, *, seed):
        drawn_from = self.seeds.setdefault("first", seed)
        return replace(super().init(x, lower, upper, seed=seed), extra=drawn_from)

    def noise(self, state):
        return super().noise(replace(state, seed=state.extra))


def hand_over_with_seed_7(source, state, target, seed):
    return target.init(best_rows(state), state.lower, state.upper, seed=7)


# --- numbers that are not finite


class BelievesHugeValues(Sound):
    def tell(self, state, evaluation):
        return super().tell(state, evaluation._replace(value=torch.nan_to_num(evaluation.value)))


class FollowsNaN(Sound):
    def tell(self, state, evaluation):
        return replace(super().tell(state, evaluation), move=-0.02 * evaluation.grad)


class StoresNaN(Sound):
    def tell(self, state, evaluation):
        told = super().tell(state, evaluation)
        return replace(told, value=torch.where(torch.isinf(told.value), torch.nan, told.value))


class StandsStill(Sound):
    """Without a finite gradient there is no step."""

    def tell(self, state, evaluation):
        told = super().tell(state, evaluation)
        return replace(told, extra=torch.isfinite(evaluation.grad).all(1, keepdim=True))

    def ask(self, state):
        query = super().ask(state)
        return query if state.extra is None else query._replace(x=torch.where(state.extra, query.x, state.x))

    def wanted(self, state):
        return state.x if state.step == 0 else super().wanted(state)


PURE = "ask_is_idempotent"
TELL = "tell_leaves_its_argument_untouched"
RESUME = "resume_is_exact"
STEP = "step_counts_the_tells"
QUERY = "queries_are_well_formed"
VALUE = "value_belongs_to_x"
BOUNDS = "asked_points_stay_in_bounds"
DTYPE = "dtype_and_device_are_kept"
DEVICES = "devices_are_not_mixed"
SHIFT = "shifting_the_problem_shifts_the_run"
SAME = "same_seed_gives_the_same_run"
GLOBAL = "global_generators_are_left_alone"
ANOTHER = "another_seed_gives_another_run"
NO_CHANCE = "without_chance_the_seed_does_not_matter"
TWICE = "a_phase_entered_twice_does_not_repeat_its_numbers"
WINS = "nan_never_wins"
STATIONARY = "nan_never_looks_stationary"

ALL = set(LAWS)

# Optimizer, the law it breaks, what is said, and laws that are bound to break along with it.
BROKEN = [
    (CountsItsAsks(), PURE, r"the same state asked twice: query.x: got .* expected", {RESUME}),
    (TellsInPlace(), TELL, r"the same state told twice: state.move: got", set()),
    (SharesItsMove(), TELL, r"ask or tell changed what it was given: state.move", {PURE, RESUME}),
    (RemembersItself(), RESUME, r"saved after 6 tells, step 6 is another one: query.x: got", set()),
    (HoldsASet(), RESUME, r"SoundState can't be saved and loaded: .* got builtins.set", set()),
    (CountsByTwo(), STEP, r"after 1 tells state.step is 2, expected 1", set()),
    (MovesItsBounds(), STEP, r"the state's bounds changed: bounds\[1\]: got", {BOUNDS}),
    (AsksForMore(), QUERY, r"query.order is 1, expected 0 to 0, the order in `traits`", set()),
    (AsksOneRowFlat(), QUERY, r"query.x has shape \(3,\), expected \(n, dim\)", ALL - {QUERY, NO_CHANCE}),
    (AsksWithADirection(), QUERY, r"query.direction has shape \(3, 3\), expected None for order 1", set()),
    (MovesOnAfterTheValue(), VALUE, r"after 1 tells state.value\[0\] is .* expected .* the value of", {WINS}),
    (NeverKeepsAValue(), VALUE, r"no state.value was finite after any of 12 tells", set()),
    (Unprojected(), BOUNDS, r"query \d+ in a box that is finite.*: got .* at \[\d, \d\], expected a", set()),
    (ScalesTheBox(), BOUNDS, r"query.x is not finite: .*nan", {SHIFT}),
    (DrawsDoubles(), DTYPE, r"query.x has dtype torch.float64, expected torch.float32", {DEVICES}),
    (KeepsHalves(), DTYPE, r"state.extra\['mean'\] has dtype torch.float16, expected torch", {DEVICES}),
    (DrawsOnTheCPU(), DEVICES, r"on cuda:0 \(fake\): got .*same device.*cuda:0 and cpu.*device=x", set()),
    (DrawsFromTheCPU(), DEVICES, r"drew a tensor on cuda:0 from a generator on cpu; expected one", set()),
    (AddsACPUTensor(), DEVICES, r"on cuda:0 \(fake\): got .*same device.*cuda:0 and cpu", set()),
    (RepairsOnTheCPU(), DEVICES, r"on cuda:0 \(fake\): got .*same device.*cuda:0 and cpu", set()),
    (AsksOnTheCPU(), DEVICES, r"query.x is on cpu, expected cuda:0", set()),
    (KeepsACPUTensor(), DEVICES, r"state.extra is on cpu, expected cuda:0", set()),
    (PullsToTheOrigin(), SHIFT, r"shifted by 2.75 query 0 is off by .* expected at most 1e-9", set()),
    (ReadsTheGlobalSeed(), SAME, r"step 0 of a second run with the same seed .*: query.x: got", set()),
    (SeedsTorch(), GLOBAL, r"a global generator .* was drawn from; expected", set()),
    (SeedsNumpy(), GLOBAL, r"a global generator .* was drawn from; expected", set()),
    (SeedsPython(), GLOBAL, r"a global generator .* was drawn from; expected", set()),
    (IgnoresTheSeed(), ANOTHER, r"seeds 20 and 21 asked the same 12 queries", {TWICE}),
    (HidesItsChance(), NO_CHANCE, r"seeds 20 and 21 gave different runs, .*: query\[0\].x: got", set()),
    (KeepsItsFirstSeed(), TWICE, r"visits 0 and 1 asked the same queries; expected others", set()),
    (
        Alternate([Sound(), Sound()], Steps(2), hand_over_with_seed_7),
        TWICE,
        r"phases 1 and 3 of its own drew from generators of the same seed; expected .*child_seed",
        set(),
    ),
    (BelievesHugeValues(), WINS, r"state.value\[\d\] is 1.79769313e\+308, expected inf", set()),
    (FollowsNaN(), WINS, r"query.x is not finite: .*nan", {STATIONARY}),
    (StoresNaN(), WINS, r"state.value is \[.*nan.*\] after \d+ tells; expected finite values", set()),
    (StandsStill(), STATIONARY, r"asked 12 times though no value was finite; expected the search", set()),
]
NAMES = [f"{law}-{type(optimizer).__name__}" for optimizer, law, _, _ in BROKEN]


def test_sound_optimizer_passes_every_law():
    check_optimizer(Sound())


@pytest.mark.parametrize("name", LAWS)
def test_every_law_has_a_broken_optimizer(name):
    assert name in {law for _, law, _, _ in BROKEN}


@pytest.mark.parametrize(("optimizer", "law", "message", "along"), BROKEN, ids=NAMES)
def test_law_rejects_broken_optimizer(optimizer, law, message, along):
    case = FLOAT32 if law == DTYPE else FLOAT64
    with pytest.raises(LawError, match=f"breaks the law '{law}'.*{message}"):
        LAWS[law](optimizer, case)


@pytest.mark.parametrize(("optimizer", "law", "message", "along"), BROKEN, ids=NAMES)
def test_other_laws_do_not_blame_it(optimizer, law, message, along):
    case = FLOAT32 if law == DTYPE else FLOAT64
    applying = [other for other in LAWS.values() if other.applies(optimizer.traits, case)]
    assert {other.name for other in applying if breaks(optimizer, other, case)} == {law, *along}


def breaks(optimizer, law, case):
    try:
        law(optimizer, case)
    except Exception:
        return True
    return False


def test_check_optimizer_names_every_broken_law():
    with pytest.raises(LawError, match=rf"(?s){VALUE}.*float32.*\n.*{VALUE}.*float64.*\n.*{WINS}"):
        check_optimizer(MovesOnAfterTheValue())


def test_an_error_of_the_optimizer_breaks_the_law_it_was_raised_under():
    class Raises(Sound):
        def tell(self, state, evaluation):
            raise ZeroDivisionError("mine")

    with pytest.raises(
        LawError, match="under the law 'ask_is_idempotent'.*ZeroDivisionError: mine"
    ) as caught:
        LAWS[PURE](Raises(), FLOAT64)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_error_does_not_hide_other_broken_laws_and_the_dtype_comes_first():
    class Doubles(Sound):
        def tell(self, state, evaluation):
            told = super().tell(state, evaluation)
            return replace(told, x=told.x.double(), move=told.move @ torch.eye(3))

    with pytest.raises(LawError) as caught:
        check_optimizer(Doubles(), dtypes=[torch.float32, torch.float64])
    first, *others = str(caught.value).splitlines()
    assert f"{DTYPE!r} with Case(dtype=torch.float32" in first
    assert "state.x has dtype torch.float64, expected torch.float32" in first
    assert any("RuntimeError: expected" in line for line in others)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_one_law_may_be_given_by_its_name():
    check_optimizer(Sound(), laws=PURE)
    assert parametrization(Sound(), laws=PURE, dtypes=[torch.float64])["ids"] == [f"Sound-{PURE}-float64"]


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(TypeError, match=r"got the class Sound; pass an instance of it: Sound\(\.\.\.\)"):
        check_optimizer(Sound)
    with pytest.raises(TypeError, match="got the class Sound"):
        LAWS[PURE](Sound, FLOAT64)
    with pytest.raises(TypeError, match="got 3, which has no init, ask, tell, traits"):
        check_optimizer(3)


def test_the_suite_is_found_without_an_import_of_its_own():
    code = "import sys, hybridopt; assert 'hybridopt.testing' not in sys.modules; hybridopt.testing.Case()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parametrization_has_one_id_for_each_law_and_dtype():
    keywords = parametrization(Sound(), laws=[PURE, SHIFT])
    assert keywords["argnames"] == "check"
    assert keywords["ids"] == [f"Sound-{PURE}-float32", f"Sound-{PURE}-float64", f"Sound-{SHIFT}-float64"]
    assert [check() for check in keywords["argvalues"]] == [None] * 3


def test_parametrization_takes_named_optimizers():
    keywords = parametrization({"mine": Sound(), "worse": CountsByTwo()}, laws=[STEP], dtypes=[torch.float64])
    assert keywords["ids"] == [f"mine-{STEP}-float64", f"worse-{STEP}-float64"]
    with pytest.raises(LawError):
        keywords["argvalues"][1]()


def test_an_unknown_law_is_an_error_that_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown law 'ask_is_idempotant': did you mean 'ask_is_i"):
        check_optimizer(Sound(), laws=["ask_is_idempotant"])


@pytest.mark.parametrize(
    ("options", "message"), [({"dtype": torch.int64}, "floating"), ({"dim": 1}, "got 1")]
)
def test_a_case_that_makes_no_sense_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        Case(**options)


def test_the_suite_itself_does_not_import_pytest():
    folder = Path(hybridopt.testing.__file__).parent
    for path in folder.glob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)]
        assert not any(alias.name == "pytest" for node in nodes for alias in node.names)
        assert not re.search(r"from _?pytest", path.read_text())


# --- the fake device

KEYS = [
    0,
    -1,
    slice(1, None),
    slice(None, None, 2),
    None,
    ...,
    (0, 1),
    (..., 0),
    (slice(None), None, 1),
    (0, ..., slice(1)),
    [2, 0],
    ([1, 0], slice(2)),
    (slice(None), [0, 1], 2),
    (None, slice(None), [1, 1]),
]
KEYS_FROM = {
    "rows": lambda x: torch.tensor([1, 0, 2], device=x.device),
    "row": lambda x: torch.tensor(1, device=x.device),
    "matrix": lambda x: torch.zeros(2, 2, dtype=torch.int64, device=x.device),
    "mask": lambda x: torch.ones(3, dtype=torch.bool, device=x.device),
    "full mask": lambda x: torch.ones_like(x, dtype=torch.bool),
    "mask, then column": lambda x: (torch.ones(3, dtype=torch.bool, device=x.device), slice(1)),
    "pairs": lambda x: (torch.tensor([0, 1], device=x.device), torch.tensor([1, 1], device=x.device)),
}
ALL_KEYS = {**{str(key): lambda x, key=key: key for key in KEYS}, **KEYS_FROM}


@pytest.mark.parametrize("key", ALL_KEYS.values(), ids=ALL_KEYS)
def test_fake_indexing_has_the_shape_of_true_indexing(key):
    x = torch.zeros(3, 4, 5)
    expected = x[key(x)].shape
    with fake_cuda():
        fake = torch.zeros(3, 4, 5, device="cuda:0")
        assert fake[key(fake)].shape == expected
        assert fake[key(fake)].device.type == "cuda"
        fake[key(fake)] = 1.0
        fake[key(fake)] = fake[key(fake)] + 1


def test_fake_numbers_are_read_so_that_guards_let_through():
    with fake_cuda():
        x = torch.zeros(2, 3, device="cuda:0")
        assert float(x.sum()) == 0.5
        assert int(x.argmin()) == 1
        assert x.tolist() == [[0.5] * 3] * 2
        assert not (x > 0).any()
        assert (x > 0).all()
        assert torch.equal(x, x)
        assert torch.nonzero(x > 0).shape == (6, 2)
        assert (~(x > 0)).shape == (2, 3)
        assert f"{x.sum():.2f}" == "0.50"
        with pytest.raises(ValueError, match="can't be read as one number"):
            float(x)


def test_fake_truth_is_the_contrary_now_and_then_where_that_is_wanted():
    with fake_cuda(contrary=True):
        x = torch.zeros(2, 3, device="cuda:0")
        assert [bool((x > 0).any()) for _ in range(3)] == [True, False, True]


def test_a_guard_that_the_contrary_sets_off_is_not_blamed():
    class Guards(Sound):
        def tell(self, state, evaluation):
            if not torch.isfinite(evaluation.x).all():
                raise ValueError("mine")
            return super().tell(state, evaluation)

    LAWS[DEVICES](Guards(), FLOAT64)


def test_fake_tensors_move_between_devices():
    with fake_cuda():
        x = torch.zeros(2, 3)
        for moved in (x.cuda(), x.to("cuda"), x.to(device="cuda"), x.cuda().new_tensor([1.0])):
            assert moved.device == torch.device("cuda:0")
            assert moved.cpu().numpy().dtype == np.float32
        with pytest.raises(TypeError, match=r"call .cpu\(\) first"):
            x.cuda().numpy()


def test_an_error_on_the_fake_device_that_is_no_mix_says_where_it_was():
    class Raises(Sound):
        def ask(self, state):
            return Query(torch.unique(state.x, dim=0))

    with pytest.raises(LawError, match="(?s)on a fake device, which computes nothing"):
        LAWS[DEVICES](Raises(), FLOAT64)


def test_fake_generators_say_where_they_are():
    with fake_cuda():
        g = generator(0, "fake", device="cuda:0")
        assert g.device.type == "cuda"
        assert torch.rand(2, generator=g, device=g.device).device.type == "cuda"


def test_fake_device_is_gone_after_the_block():
    with fake_cuda():
        pass
    assert type(generator(0)) is torch.Generator
    assert torch.rand(2, generator=generator(0)).tolist() == torch.rand(2, generator=generator(0)).tolist()
