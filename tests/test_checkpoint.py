"""Checkpoints are plain, atomic and particular about whose they are."""

import os
from dataclasses import dataclass

import pytest
import torch

from hybridopt import checkpoint
from hybridopt.checkpoint import CheckpointError


@dataclass(frozen=True)
class Record:
    x: torch.Tensor
    numbers: tuple
    table: dict
    inner: "Record | None" = None


def record():
    inner = Record(torch.arange(3), (), {})
    return Record(torch.rand(2, 2, dtype=torch.float64), (1, 2.5, "a", None, True), {"k": [1, (2,)]}, inner)


def test_record_comes_back_as_it_was(tmp_path):
    saved = record()
    checkpoint.save(tmp_path / "c", saved)
    loaded = checkpoint.load(tmp_path / "c")
    assert torch.equal(loaded.x, saved.x)
    assert (loaded.numbers, loaded.table) == (saved.numbers, saved.table)
    assert torch.equal(loaded.inner.x, saved.inner.x)


def test_file_is_plain_enough_for_weights_only(tmp_path):
    checkpoint.save(tmp_path / "c", record(), run="mine")
    content = torch.load(tmp_path / "c", weights_only=True)
    assert content["run"] == "mine"
    assert content["record"]["__dataclass__"].endswith(":Record")


def test_view_does_not_drag_its_storage_along(tmp_path):
    checkpoint.save(tmp_path / "c", torch.zeros(1_000_000)[:3])
    assert (tmp_path / "c").stat().st_size < 10_000


def test_failed_write_leaves_the_old_checkpoint_and_no_litter(tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "c", 1)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(tmp_path / "c", 2)
    assert checkpoint.load(tmp_path / "c") == 1
    assert os.listdir(tmp_path) == ["c"]


def test_other_types_are_refused_when_saving(tmp_path):
    with pytest.raises(TypeError, match=r"a state may hold .*, got .*Generator"):
        checkpoint.save(tmp_path / "c", {"rng": torch.Generator()})


@pytest.mark.parametrize("content", [b"", b"garbage" * 100])
def test_garbage_is_a_checkpoint_error(tmp_path, content):
    (tmp_path / "c").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "c")


def test_foreign_torch_file_is_a_checkpoint_error(tmp_path):
    torch.save({"weights": torch.zeros(2)}, tmp_path / "c")
    with pytest.raises(CheckpointError, match="has checkpoint format None, expected 1"):
        checkpoint.load(tmp_path / "c")


def test_missing_file_is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path / "c")


def test_checkpoint_of_another_run_is_refused(tmp_path):
    checkpoint.save(tmp_path / "c", 1, run="GeneticAlgorithm(...)")
    with pytest.raises(CheckpointError, match="belongs to another run"):
        checkpoint.load(tmp_path / "c", run="Adam")


def test_another_version_of_a_state_is_refused(tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "c", record())
    monkeypatch.setattr(Record, "version", 2, raising=False)
    with pytest.raises(CheckpointError, match="has version 1 there, here 2"):
        checkpoint.load(tmp_path / "c")


@pytest.mark.parametrize("path", ["no.such:Thing", "os:system"])
def test_what_is_no_dataclass_is_not_called(path):
    with pytest.raises(CheckpointError, match="the checkpoint needs"):
        checkpoint.decode({"__dataclass__": path, "version": 1, "fields": {}})


def test_description_has_no_addresses():
    assert checkpoint.describe(test_description_has_no_addresses) == checkpoint.describe(
        test_description_has_no_addresses
    )
    assert "0x" not in checkpoint.describe(lambda: None)
