"""Tasks of one's own network and data, and data in IDX files."""

import gzip
import struct

import numpy as np
import pytest
import torch

from hybridopt import problems
from hybridopt.problems.idx import read, read_folder

X = torch.arange(40.0).reshape(20, 2)
CLASSES = torch.arange(20) % 2


def made(**options):
    return problems.make_task("network", **{"model": lambda: torch.nn.Linear(2, 2), **options})


def test_a_share_is_kept_for_testing_and_the_features_are_standardised():
    task = made(data=lambda: (X, CLASSES), test_share=0.3)
    assert len(task.test_y) == 6
    assert task.test_y.sum() == 3
    assert task.train_x.mean(0).abs().max() < 1e-6
    assert task.loss_fn is torch.nn.functional.cross_entropy


def test_the_split_is_by_the_seed():
    first, same, other = (made(data=lambda: (X, CLASSES), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.test_x, same.test_x)
    assert not torch.equal(first.test_x, other.test_x)


def test_data_that_are_divided_are_taken_as_they_are():
    parts = (X[:15], CLASSES[:15], X[15:], CLASSES[15:])
    task = made(data=lambda: parts, batch_size=3)
    for mine, theirs in zip((task.train_x, task.train_y, task.test_x, task.test_y), parts, strict=True):
        assert torch.equal(mine, theirs)
    assert task.batch_size == 3


def test_arrays_become_single_precision_and_numbers_are_fitted_by_squares():
    task = made(model=lambda: torch.nn.Linear(2, 1), data=lambda: (X.double().numpy(), np.linspace(0, 1, 20)))
    assert task.train_x.dtype == task.train_y.dtype == torch.float32
    assert task.train_y.shape == (15, 1)
    assert task.loss_fn is torch.nn.functional.mse_loss
    assert np.isfinite(task.metrics(task.model(0))["test_loss"])


def test_a_loss_may_be_named_or_given():
    data = lambda: (X, CLASSES)  # noqa: E731
    assert made(data=data, loss="nll_loss").loss_fn is torch.nn.functional.nll_loss
    assert made(data=data, loss=torch.dist).loss_fn is torch.dist


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"data": lambda: (X,)}, "got 1 parts"),
        ({"data": lambda: (X, CLASSES[:3])}, "got 20 samples, 3 targets"),
        ({"data": "digts"}, "did you mean 'digits'"),
        ({"data": "digits", "loss": "cros_entropy"}, "did you mean 'cross_entropy'"),
        ({"data": "digits", "batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"data": "digits", "test_share": 1.0}, "test_share must be above 0 and below 1"),
    ],
)
def test_what_makes_no_task_is_refused(options, part):
    with pytest.raises(ValueError, match=part):
        made(**options)


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_set(folder, *, zipped):
    images = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
    classes = np.array([7, 0, 9], dtype=np.uint8)
    folder.mkdir(parents=True)
    for kind in ("train", "t10k"):
        for name, array in (("images-idx3", images), ("labels-idx1", classes)):
            content = idx(array)
            path = folder / f"{kind}-{name}-ubyte{'.gz' * zipped}"
            path.write_bytes(gzip.compress(content) if zipped else content)
    return images, classes


@pytest.mark.parametrize("zipped", [False, True])
def test_images_are_read_from_idx_files_in_torchvisions_layout(zipped, tmp_path):
    images, classes = write_set(tmp_path / "MNIST" / "raw", zipped=zipped)
    train_x, train_y, test_x, test_y = read_folder(tmp_path)
    assert train_x.shape == (3, 1, 4, 5)
    assert torch.equal((train_x[:, 0] * 255).round().byte(), torch.from_numpy(images))
    assert train_y.tolist() == test_y.tolist() == classes.tolist()
    assert test_x.dtype == torch.float32


def test_what_is_no_idx_file_is_refused(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"PK12345")
    with pytest.raises(ValueError, match="begins with 0 0 8"):
        read(path)
    path.write_bytes(idx(np.zeros((2, 2), np.uint8))[:-1])
    with pytest.raises(ValueError, match=r"expected 4 bytes of shape \(2, 2\), got 3"):
        read(path)
    with pytest.raises(FileNotFoundError, match="the four files of MNIST in IDX format"):
        read_folder(tmp_path)
