"""Published suites, from files that the user has. Nothing is downloaded and nothing unpickled.

Folders under the data folder, with the files as their owners publish them:

- ``cifar-100-binary/train.bin, test.bin`` (the binary version)
- ``cifar-10-batches-bin/data_batch_1.bin ... 5, test_batch.bin`` (the binary version)
- ``mnist/`` and ``fashion-mnist/``: ``train-images-idx3-ubyte`` and so on, with or without ``.gz``
- ``svhn/train_32x32.mat, test_32x32.mat``
- ``notMNIST_large/A ... J`` and ``notMNIST_small/A ... J`` with PNG images; the large one may lack
- ``tiny-imagenet-200/train, val``
"""

import gzip
from pathlib import Path

import numpy as np

from continual.data import Split, TaskData, hold_out, of_classes

# The twenty groups of five classes, by the numbers of the fine labels, in the published task order.
_SUPER = (
    "4 30 55 72 95, 1 32 67 73 91, 54 62 70 82 92, 9 10 16 28 61, 0 51 53 57 83, "
    "22 39 40 86 87, 5 20 25 84 94, 6 7 14 18 24, 3 42 43 88 97, 12 17 37 68 76, "
    "23 33 49 60 71, 15 19 21 31 38, 34 63 64 66 75, 26 45 77 79 99, 2 11 35 46 98, "
    "27 29 44 78 93, 36 50 65 74 80, 47 52 56 59 96, 8 13 48 58 90, 41 69 81 85 89"
)
SUPER_CLASSES = [[int(c) for c in group.split()] for group in _SUPER.split(",")]


def _need(path):
    if not path.exists():
        msg = f"data: {path} is missing, want the files that `python -m continual --help` lists"
        raise FileNotFoundError(msg)
    return path


def _cifar(paths, n_labels):
    """Records of labels and 3 x 32 x 32 bytes; the last label counts."""
    size = n_labels + 3 * 32 * 32
    raw = np.concatenate([np.fromfile(_need(p), np.uint8) for p in paths])
    if raw.size % size:
        msg = f"data: {paths[0]} has {raw.size} bytes, want a multiple of {size}"
        raise ValueError(msg)
    records = raw.reshape(-1, size)
    return Split(records[:, n_labels:].reshape(-1, 3, 32, 32).copy(), records[:, n_labels - 1])


def _idx(folder, name):
    """The IDX format of MNIST: magic number with the number of axes, sizes, bytes."""
    path = folder / name
    if not path.exists():
        path = _need(folder / f"{name}.gz")
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        raw = file.read()
    n_axes = raw[3] if raw[:3] == b"\0\0\x08" and len(raw) > 3 else 0
    head = 4 + 4 * n_axes
    shape = np.frombuffer(raw[4:head], ">i4") if len(raw) >= head else [0]
    if not n_axes or len(raw) != head + np.prod(shape):
        msg = f"data: {path} is no IDX file of bytes"
        raise ValueError(msg)
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def _mnist(folder):
    return [
        Split(
            _thirty_two(_idx(folder, f"{part}-images-idx3-ubyte")),
            _idx(folder, f"{part}-labels-idx1-ubyte"),
        )
        for part in ("train", "t10k")
    ]


def _thirty_two(images):
    """Grey images as 3 x 32 x 32, with bilinear interpolation."""
    from PIL import Image

    resized = [np.asarray(Image.fromarray(i).resize((32, 32), Image.BILINEAR)) for i in images]
    return np.repeat(np.stack(resized)[:, None], 3, axis=1)


def _svhn(path):
    from scipy.io import loadmat

    content = loadmat(_need(path), variable_names=["X", "y"])
    x = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))
    return Split(x, content["y"].ravel() % 10)


def _pictures(paths, mode):
    from PIL import Image, UnidentifiedImageError

    for path in paths:
        try:
            with Image.open(path) as image:
                yield path, np.asarray(image.convert(mode))
        except UnidentifiedImageError:  # notMNIST is published with some broken files
            continue


def _not_mnist(folder):
    x, y = [], []
    for label, letter in enumerate("ABCDEFGHIJ"):
        for _, image in _pictures(sorted(_need(folder / letter).glob("*.png")), "L"):
            x.append(image)
            y.append(label)
    return Split(_thirty_two(x), np.array(y, np.uint8))


def _task(name, train, test, valid_share, seed):
    fit, valid = hold_out(train.x, train.y, valid_share, seed)
    return TaskData(name, fit, valid, test, int(train.y.max()) + 1)


def cifar100(folder, classes, valid_share, seed=0):
    """CIFAR-100 by groups of classes."""
    place = Path(folder) / "cifar-100-binary"
    train, test = (_cifar([place / f"{part}.bin"], 2) for part in ("train", "test"))
    return [
        of_classes(f"classes {group[0]}...", train, test, group, valid_share, seed + t)
        for t, group in enumerate(classes)
    ]


def cifar100_split(folder, valid_share=0.2):
    """Ten tasks of ten classes."""
    return cifar100(folder, [range(10 * t, 10 * t + 10) for t in range(10)], valid_share)


def cifar100_super(folder, valid_share=0.2):
    """Twenty tasks of the five classes of one group."""
    return cifar100(folder, SUPER_CLASSES, valid_share)


def pmnist(folder, valid_share=0.2, n_tasks=10):
    """MNIST with pixels and channels permuted, one permutation a task."""
    train, test = _mnist(Path(folder) / "mnist")

    def permuted(split, places):
        return Split(split.x.reshape(len(split), -1)[:, places].reshape(split.x.shape), split.y)

    tasks = []
    for t in range(n_tasks):
        places = np.random.default_rng(t).permutation(train.x[0].size)
        pair = permuted(train, places), permuted(test, places)
        tasks.append(_task(f"permutation {t}", *pair, valid_share, t))
    return tasks


def five(folder, valid_share=0.2):
    """CIFAR-10, MNIST, SVHN, Fashion-MNIST, notMNIST."""
    folder = Path(folder)
    ten = folder / "cifar-10-batches-bin"
    cifar = (
        _cifar([ten / f"data_batch_{i}.bin" for i in range(1, 6)], 1),
        _cifar([ten / "test_batch.bin"], 1),
    )
    svhn = [_svhn(folder / "svhn" / f"{part}_32x32.mat") for part in ("train", "test")]
    small = _not_mnist(folder / "notMNIST_small")
    large = folder / "notMNIST_large"
    letters = (_not_mnist(large), small) if large.exists() else hold_out(small.x, small.y, 0.2, 0)
    pairs = {
        "CIFAR-10": cifar,
        "MNIST": _mnist(folder / "mnist"),
        "SVHN": svhn,
        "Fashion-MNIST": _mnist(folder / "fashion-mnist"),
        "notMNIST": letters,
    }
    return [_task(n, *pair, valid_share, t) for t, (n, pair) in enumerate(pairs.items())]


def tiny_imagenet(folder, n_tasks, valid_share=0.1):
    """Tiny-ImageNet's 200 classes in `n_tasks` groups, in the order of their names."""
    folder = Path(folder) / "tiny-imagenet-200"
    names = sorted(p.name for p in _need(folder / "train").iterdir() if p.is_dir())
    number = {name: i for i, name in enumerate(names)}
    x, y = [], []
    for name in names:
        for _, image in _pictures(sorted((folder / "train" / name / "images").iterdir()), "RGB"):
            x.append(image)
            y.append(number[name])
    train = Split(np.stack(x).transpose(0, 3, 1, 2).copy(), np.array(y))
    lines = _need(folder / "val" / "val_annotations.txt").read_text().splitlines()
    label = {file: number[name] for file, name, *_ in (line.split("\t") for line in lines)}
    found = list(_pictures([folder / "val" / "images" / file for file in sorted(label)], "RGB"))
    test = Split(
        np.stack([image for _, image in found]).transpose(0, 3, 1, 2).copy(),
        np.array([label[path.name] for path, _ in found]),
    )
    size = -(-len(names) // n_tasks)
    groups = [range(t, min(t + size, len(names))) for t in range(0, len(names), size)]
    return [
        of_classes(f"classes {g[0]}...", train, test, g, valid_share, t)
        for t, g in enumerate(groups)
    ]
