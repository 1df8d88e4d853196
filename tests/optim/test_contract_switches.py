"""Mixed precision, compiled models and torch's global switches: `Hybrid` is its base bit for bit."""

import copy

import pytest
import torch
from contract_tasks import Loop, assert_twins, base, hybrid, plain_closure, started


@pytest.mark.parametrize("outside", [True, False])
def test_autocast_trains_as_with_the_base(outside):
    """Round the forward pass, and round the whole step, whose cache of weights must not outlive a child."""

    def build(make):
        model, optimizer, x, y = started(make)

        def closure():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = (model(x) - y).square().mean()
            loss.backward()
            return loss

        def step(number):
            with torch.autocast("cpu", torch.bfloat16, enabled=outside):
                return optimizer.step(closure).detach()

        return Loop(model, optimizer, step)

    assert_twins(build)


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"foreach": True}])
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_a_scaler_of_gradients_works_as_with_the_base(name, enabled, options):
    def build(make):
        model, optimizer, x, y = started(make, name, **options)
        scaler = torch.amp.GradScaler("cpu", enabled=enabled, init_scale=128.0, growth_interval=2)

        def step(number):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = (model(x) - y).square().mean()
            scaler.scale(loss * (float("inf") if number == 3 and enabled else 1.0)).backward()
            scaler.unscale_(optimizer)
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            return loss.detach(), scaler.get_scale(), torch.nan_to_num(norm)

        return Loop(model, optimizer, step)

    assert_twins(build, tried=False)


def test_a_disabled_scaler_passes_the_closure_on():
    def build(make):
        model, optimizer, x, y = started(make)
        scaler, closure = torch.amp.GradScaler("cpu", enabled=False), plain_closure(model, optimizer, x, y)
        return Loop(model, optimizer, lambda number: scaler.step(optimizer, closure).detach())

    assert_twins(build)


@pytest.mark.parametrize("make", [base, hybrid])
def test_an_enabled_scaler_refuses_a_closure_by_keyword(make):
    model, optimizer, x, y = started(make)
    scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(RuntimeError, match="Closure use is not currently supported if GradScaler is enabled"):
        scaler.step(optimizer, closure=plain_closure(model, optimizer, x, y))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_models_train_as_with_the_base(backend):
    def build(make):
        torch._dynamo.reset()
        model, optimizer, x, y = started(make)
        compiled = torch.compile(model, backend=backend)
        closure = plain_closure(compiled, optimizer, x, y)
        return Loop(model, optimizer, lambda number: optimizer.step(closure).detach())

    assert_twins(build)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_a_compiled_step_is_the_base_s():
    def final(make):
        torch._dynamo.reset()
        model, optimizer, x, y = started(make, "SGD", momentum=0.9)
        step = torch.compile(lambda: optimizer.step(), backend="eager")
        torch.manual_seed(5)
        for _ in range(4):
            plain_closure(model, optimizer, x, y)()
            step()
        return copy.deepcopy(list(model.parameters()))

    assert all(map(torch.equal, final(base), final(hybrid)))


def test_detecting_anomalies_and_deterministic_algorithms_change_nothing():
    def build(make):
        model, optimizer, x, y = started(make)
        closure = plain_closure(model, optimizer, x, y)

        def step(number):
            torch.use_deterministic_algorithms(True)
            try:
                with torch.autograd.set_detect_anomaly(True):
                    return optimizer.step(closure).detach()
            finally:
                torch.use_deterministic_algorithms(False)

        return Loop(model, optimizer, step)

    assert_twins(build)


def test_another_default_dtype_changes_nothing():
    def build(make):
        model, optimizer, x, y = started(make)
        closure = plain_closure(model, optimizer, x, y)

        def step(number):
            torch.set_default_dtype(torch.float64)
            try:
                return optimizer.step(closure).detach()
            finally:
                torch.set_default_dtype(torch.float32)

        return Loop(model, optimizer, step)

    assert_twins(build)
