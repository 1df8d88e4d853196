"""Certificates of networks."""

import pytest
import torch

from hybridopt import certify_model

MSE = torch.nn.functional.mse_loss


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(10, 40), torch.nn.Tanh(), torch.nn.Dropout(0.5), torch.nn.Linear(40, 3)
    )


def inputs(count, width=10, dtype=torch.float32):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_network_with_zero_weights_stands_at_a_strict_saddle_and_its_direction_falls():
    model = network()
    for weight in model.parameters():
        torch.nn.init.zeros_(weight)
    x = inputs(400)
    y = x[:, :3] * 2
    y = y - y.mean(0)
    found = certify_model(model, MSE, (x, y))
    assert found.verdict == "strict saddle"
    assert found.products <= 13
    model.eval()
    before = float(MSE(model(x), y).detach())
    torch.nn.utils.vector_to_parameters(0.3 * found.direction, model.parameters())
    assert float(MSE(model(x), y).detach()) < before


def test_network_is_left_as_it_was():
    model = network()
    model.append(torch.nn.BatchNorm1d(3))
    state = {name: value.clone() for name, value in model.state_dict().items()}
    rng = torch.get_rng_state()
    x = inputs(50)
    assert certify_model(model, MSE, [(x, x[:, :3])]).verdict == "not stationary"
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.equal(torch.get_rng_state(), rng)


def test_linear_model_at_its_least_squares_solution_is_at_a_minimum():
    x = inputs(100, 4, torch.float64)
    y = inputs(100, 1, torch.float64) ** 2
    model = torch.nn.Linear(4, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.linalg.lstsq(x, y).solution.T)
    found = certify_model(model, MSE, (x, y))
    exact = torch.linalg.eigvalsh(2 * x.T @ x / len(x))
    assert found.verdict == "minimum"
    whole = certify_model(model, MSE, (x, y), sample=100)
    assert (whole.smallest, whole.largest) == pytest.approx((float(exact[0]), float(exact[-1])))


def test_tensors_and_batches_of_them_agree():
    x = inputs(60)
    model = network()
    whole = certify_model(model, MSE, (x, x[:, :3]), sample=60)
    batches = [(x[:20], x[:20, :3]), (x[20:], x[20:, :3])]
    parts = certify_model(model, MSE, batches)
    assert parts.value == pytest.approx(whole.value, rel=1e-5)
    assert torch.allclose(parts.grad, whole.grad, atol=1e-6)


def test_model_without_parameters_or_data_is_an_error():
    with pytest.raises(ValueError, match="nothing to certify"):
        certify_model(torch.nn.Tanh(), MSE, [])
    with pytest.raises(ValueError, match="hold no example"):
        certify_model(network(), MSE, [])
