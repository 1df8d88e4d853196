"""Images in IDX files, the form of MNIST and its kin: a magic number, the sizes, then bytes.

References
----------
Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

_UNSIGNED_BYTE = 8


def read_folder(folder: str | Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images and their classes.

    Parameters
    ----------
    folder : path
        It, or any folder below it (torchvision keeps them in `MNIST/raw`), holds the files
        `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
        `t10k-labels-idx1-ubyte`, each as it is or with `.gz`.

    Returns
    -------
    train_x, train_y, test_x, test_y : Tensor
        Images (n, 1, rows, columns), float32 in [0, 1]; classes (n,), int64.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If one is no IDX file of bytes, or images and classes differ in number.
    """
    parts = []
    for kind in ("train", "t10k"):
        images, classes = (
            read(_file(folder, f"{kind}-images-idx3-ubyte")),
            read(_file(folder, f"{kind}-labels-idx1-ubyte")),
        )
        if len(images) != len(classes):
            raise ValueError(f"{folder}: {len(images)} {kind} images, but {len(classes)} classes")
        parts += [images[:, None].float() / 255, classes.long()]
    train_x, train_y, test_x, test_y = parts
    return train_x, train_y, test_x, test_y


def read(path: Path) -> Tensor:
    """Bytes of one IDX file, in the shape it states; uint8.

    Raises
    ------
    ValueError
        If it is none, or shorter or longer than it states.
    """
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTE]):
        raise ValueError(
            f"{path}: expected an IDX file of bytes, which begins with 0 0 8, got {list(content[:3])}"
        )
    rank = content[3]
    begin = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:begin])
    if len(content) - begin != math.prod(shape):
        raise ValueError(
            f"{path}: expected {math.prod(shape)} bytes of shape {shape}, got {len(content) - begin}"
        )
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=begin).reshape(shape).copy())


def _file(folder: str | Path, name: str) -> Path:
    """A file in a folder or below it."""
    found = sorted(path for ending in ("", ".gz") for path in Path(folder).expanduser().rglob(name + ending))
    if not found:
        raise FileNotFoundError(
            f"no {name} (or {name}.gz) in {folder}; expected the four files of MNIST in IDX format, as "
            "torchvision keeps them in MNIST/raw"
        )
    return found[0]
