"""Two ranks with DistributedDataParallel: they decide alike, or not at all."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed.device_mesh
import torch.distributed.fsdp
from framework_tasks import ACCEPTS, ACCEPTS_LATE, REJECTS, X, Y, network
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from two_ranks import TwoRanks

from hybridopt.optim import Hybrid

pytestmark = pytest.mark.skipif(
    not (distributed.is_available() and distributed.is_gloo_available()), reason="needs torch with gloo"
)
ROOT = Path(__file__).parents[2]
KINDS = {
    "plain": {},
    "view": {"gradient_as_bucket_view": True},
    "static": {"static_graph": True},
    "static view": {"static_graph": True, "gradient_as_bucket_view": True},
    "unused": {"find_unused_parameters": True},
    "unused view": {"find_unused_parameters": True, "gradient_as_bucket_view": True},
}


class Net(nn.Module):
    """BatchNorm, dropout, and, where wanted, a layer that plays no part."""

    def __init__(self, *, unused):
        super().__init__()
        self.layers = network()
        if unused:
            self.unused = nn.Linear(2, 2)

    def forward(self, rows):
        return self.layers(rows)


class Training:
    """One rank's run; each rank has data and random numbers of its own."""

    def __init__(self, rank, escape, *, objective=None, accumulate=False, group="world", **wrapper):
        self.rank, self.accumulate = rank, accumulate
        self.net = Net(unused=wrapper.get("find_unused_parameters", False))
        self.model = DistributedDataParallel(self.net, **wrapper)
        torch.manual_seed(100 + rank)
        self.fails, self.error = lambda call: False, LookupError
        options = {"base": torch.optim.AdamW, "lr": 1e-2, "escape": escape}
        if group is not None:
            options["process_group"] = (
                distributed.group.WORLD if group == "world" else distributed.new_group()
            )
        if objective:
            options["objective"] = self.loss if objective == "loss" else self.objective
        if escape is None:
            self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-2)
        else:
            self.optimizer = Hybrid(self.net.parameters(), **options)
        self.closures = not objective
        self.step_number = 0
        self.paths = {"weights": [], "buffers": []}  # sums after each step

    def loss(self, shift=0):
        rows = slice(16 * ((self.step_number + shift) % 3) + 48 * self.rank, None)
        return nn.functional.mse_loss(self.model(X[rows][:16]), Y[rows][:16])

    def objective(self):
        """Calls backward itself."""
        loss = self.loss()
        loss.backward()
        return loss

    def closure(self):
        self.calls += 1
        if not self.accumulate:
            self.optimizer.zero_grad()
        loss = self.loss()
        loss.backward()
        if self.fails(self.calls):
            raise self.error("as the test asks for")
        return loss

    def step(self):
        self.calls = 0
        if self.accumulate:
            self.optimizer.zero_grad()
            with self.model.no_sync():
                self.loss(shift=1).backward()
        if self.closures:
            self.optimizer.step(self.closure)
        else:
            self.closure()
            self.optimizer.step()
        self.step_number += 1
        self.paths["weights"].append([param.sum().item() for param in self.net.parameters()])
        self.paths["buffers"].append([buffer.sum().item() for buffer in self.net.buffers()])

    def steps(self, number):
        for _ in range(number):
            self.step()
        return self

    def stumble(self):
        """Kind and text of what a step raises, None where it does not."""
        try:
            self.step()
        except Exception as error:
            return type(error).__name__, str(error)
        return None

    def state(self):
        """Plain values that tell two runs apart."""
        base = self.optimizer.state_dict()["state"]
        return {
            "weights": [tensor.tolist() for tensor in self.net.parameters()],
            "buffers": [tensor.tolist() for tensor in self.net.buffers()],
            "grads": [None if p.grad is None else p.grad.tolist() for p in self.net.parameters()],
            "base": [[name, value.tolist()] for own in base.values() for name, value in own.items()],
            "draws": torch.get_rng_state().tolist(),
        }

    def history(self):
        return [
            (attempt.step, attempt.cost, attempt.gain, attempt.accepted) for attempt in self.optimizer.history
        ]


def alone(rank, **options):
    training = Training(rank, None, **options).steps(24)
    return {**training.state(), "paths": training.paths}


def raced(rank, escape, **options):
    training = Training(rank, escape, **options).steps(24)
    return {**training.state(), "paths": training.paths}, training.history()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    two = TwoRanks(tmp_path_factory.mktemp("ranks"))
    yield two
    two.end()


@pytest.mark.parametrize(
    ("kind", "loop"),
    [
        *((kind, {}) for kind in KINDS),
        *((kind, {"accumulate": True}) for kind in ("plain", "view", "unused")),  # static allows no no_sync()
        *((kind, {"objective": "loss"}) for kind in KINDS),
        *((kind, {"objective": "backward"}) for kind in ("plain", "view", "static view")),
        *((kind, {"objective": "loss", "accumulate": True}) for kind in ("plain", "view", "unused")),
    ],
    ids=str,
)
def test_rejected_escapes_leave_distributed_training_as_it_is(ranks, kind, loop):
    bare = ranks.run(alone, **KINDS[kind], **loop)
    for expected, (got, history) in zip(bare, ranks.run(raced, REJECTS, **KINDS[kind], **loop), strict=True):
        assert history
        assert [name for name in expected if expected[name] != got[name]] == []


@pytest.mark.parametrize(
    ("kind", "loop"),
    [
        *((kind, {}) for kind in KINDS),
        *((kind, {"objective": "loss"}) for kind in ("plain", "static view", "unused")),
        ("plain", {"group": "new"}),
    ],
    ids=str,
)
def test_accepted_escapes_are_accepted_by_all_ranks_alike(ranks, kind, loop):
    (one, history), (two, others) = ranks.run(raced, ACCEPTS, **KINDS[kind], **loop)
    assert any(accepted for *_, accepted in history)
    assert history == others
    assert one["paths"]["weights"] == two["paths"]["weights"]
    assert one["weights"] == two["weights"]
    assert one["base"] == two["base"]


def fail_in_an_escape(rank, escape, call, **options):
    """Rank 1 fails at a closure call of a step in a race, then both go on."""
    training = Training(rank, escape, **options)
    while not training.optimizer.escaping:
        training.step()
    if rank == 1:
        training.fails = lambda number: number == call
    before = training.state(), training.optimizer.escaping
    raised = training.stumble()
    after = training.state(), training.optimizer.escaping
    training.fails = lambda number: False
    return raised, before == after, training.steps(20).state()["weights"]


@pytest.mark.parametrize("kind", ["plain", "view", "static", "unused"])
def test_exception_of_one_rank_in_an_escape_is_raised_by_all(ranks, kind):
    one, two = ranks.run(fail_in_an_escape, ACCEPTS, 1, **KINDS[kind])
    assert two[0] == ("LookupError", "as the test asks for")
    assert one[0] is not None
    assert one[0][0] == "RuntimeError"
    assert "process" in one[0][1]
    assert one[1], "rank 0 is not as before"
    assert two[1], "rank 1 is not as before"
    assert one[2] == two[2]


def fail_at_curvature(rank):
    """Rank 1 has an error that is not one of weights at the first product of a race, then both go on."""
    training = Training(rank, REJECTS)
    while not training.optimizer._escape.memory.due:
        training.step()
    if rank == 1:
        training.fails = lambda number: number == 2
    raised = training.stumble()
    training.fails = lambda number: False
    return raised, training.steps(20).state()["weights"]


def test_exception_of_one_rank_at_curvature_is_raised_by_all(ranks):
    one, two = ranks.run(fail_at_curvature)
    assert (one[0][0], two[0][0]) == ("RuntimeError", "LookupError")
    assert one[1] == two[1]


def lose_children(rank):
    """All children of a race lose its first step by what the closure raises on rank 1."""
    training = Training(rank, REJECTS)
    while not training.optimizer.escaping:
        training.step()
    if rank == 1:
        training.error = ValueError
        training.fails = lambda number: number < 3
    training.step()
    training.fails = lambda number: False
    alive = [child.kind for child in training.optimizer._escape.memory.race.children]
    return alive, training.steps(20).state()["weights"], training.step_number


def unescaped(rank, steps):
    return Training(rank, None).steps(steps).state()["weights"]


def test_a_child_that_raises_on_one_rank_has_lost_on_all(ranks):
    one, two = ranks.run(lose_children)
    assert one == two
    assert ranks.run(unescaped, one[2])[0] == one[1]


def fail_at_a_look(rank):
    """Rank 1 fails in the objective that is looked at, then both go on."""
    training = Training(rank, REJECTS, objective="loss")
    good = training.optimizer.objective

    def bad():
        good()
        raise ValueError("as the test asks for")

    if rank == 1:
        training.optimizer.objective = bad
    raised = training.stumble()
    training.optimizer.objective = good
    return raised, training.steps(20).state()["weights"]


def test_exception_of_one_rank_at_a_look_is_raised_by_all(ranks):
    one, two = ranks.run(fail_at_a_look)
    assert (one[0][0], two[0][0]) == ("RuntimeError", "ValueError")
    assert one[1] == two[1]


def shard(rank):
    mesh = distributed.device_mesh.init_device_mesh("cpu", (2,))
    model = distributed.fsdp.fully_shard(nn.Linear(4, 2), mesh=mesh)
    try:
        Hybrid(model.parameters(), process_group=distributed.group.WORLD)
    except TypeError as error:
        return str(error)


def test_sharded_parameters_are_refused_with_the_way_out(ranks):
    for message in ranks.run(shard):
        assert "sharded" in message
        assert "escape=None" in message


def resume(rank, escape, file):
    """Weights of an unbroken run and of one that was saved and loaded in a race, by whose file."""
    whole = Training(rank, escape).steps(6)
    saved = io.BytesIO()
    files = [None, None]
    distributed.all_gather_object(files, whole.optimizer.state_dict())
    chosen = files[rank if file == "own" else 0]
    torch.save((chosen, whole.net.state_dict(), torch.get_rng_state()), saved)
    begun = whole.optimizer.escaping
    whole.steps(24)
    rest = Training(rank, escape)
    saved.seek(0)
    optimizer, net, draws = torch.load(saved, weights_only=True)
    rest.optimizer.load_state_dict(optimizer)
    rest.net.load_state_dict(net)
    rest.step_number = 6
    torch.set_rng_state(draws)
    rest.steps(24)
    return begun, whole.history() != [], whole.state() == rest.state(), whole.history() == rest.history()


@pytest.mark.parametrize("file", ["own", "first"])
def test_distributed_run_resumed_in_an_escape_equals_the_unbroken_one(ranks, file):
    begun, raced, same, decided = zip(*ranks.run(resume, ACCEPTS_LATE, file), strict=True)
    assert all(begun)
    assert all(raced)
    assert all(decided)
    assert same[0]
    assert same[1] or file == "first"  # BatchNorm's statistics are each rank's own


def without_group(rank):
    try:
        Training(rank, REJECTS, group=None)
    except RuntimeError as error:
        return str(error)


def test_distributed_job_without_process_group_is_told_what_to_do(ranks):
    for message in ranks.run(without_group):
        assert "process_group=torch.distributed.group.WORLD" in message
        assert "escape=None" in message


def base_alone(rank):
    optimizer = Hybrid([torch.ones(2, requires_grad=True)], base=torch.optim.SGD, lr=0.1, escape=None)
    return isinstance(optimizer, torch.optim.SGD)


def test_base_alone_needs_no_process_group(ranks):
    assert ranks.run(base_alone) == [True, True]


def test_script_of_the_page_on_frameworks_runs_on_two_ranks(tmp_path):
    text = (ROOT / "docs" / "frameworks.md").read_text()
    (script,) = re.findall(r"^```python\n(# ddp\.py\n.*?)^```", text, re.S | re.M)
    (tmp_path / "ddp.py").write_text(script)
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "ddp.py"]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
