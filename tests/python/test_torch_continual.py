"""The continual benchmark on files that the test writes, and on a few digits."""

import dataclasses
import gzip
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is in no extra that the tests install")
pytest.importorskip("safetensors", reason="comes with PyTorch in the extra `torch`")

from PIL import Image  # noqa: E402
from scipy.io import savemat  # noqa: E402

from continual import digit_suites, importance, local_suites  # noqa: E402
from continual.__main__ import main  # noqa: E402
from continual.data import Batches, Split  # noqa: E402
from continual.report import MEASURES  # noqa: E402
from continual.suites import SUITES, order_of  # noqa: E402

RNG = np.random.default_rng(0)


def images(n, *shape):
    return RNG.integers(0, 256, (n, *shape), dtype=np.uint8)


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    content = head + array.tobytes()
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(content))
    else:
        path.write_bytes(content)


def write_mnist(folder, *, zipped):
    folder.mkdir(parents=True)
    end = ".gz" if zipped else ""
    for part, n in (("train", 40), ("t10k", 20)):
        write_idx(folder / f"{part}-images-idx3-ubyte{end}", images(n, 28, 28))
        write_idx(folder / f"{part}-labels-idx1-ubyte{end}", np.arange(n, dtype=np.uint8) % 10)


def write_cifar(path, labels, n_labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = np.repeat(np.asarray(labels, np.uint8)[:, None], n_labels, axis=1)
    pixels = images(len(labels), 3072)
    pixels[:, 0] = columns[:, -1]  # to be recognised
    np.hstack([columns, pixels]).tofile(path)


def check(tasks, n_tasks, n_classes, shape):
    assert len(tasks) == n_tasks
    for task in tasks:
        assert task.n_classes == n_classes
        for split in (task.train, task.valid, task.test):
            assert split.x.dtype == np.uint8
            assert split.x.shape == (len(split), *shape)
            assert 0 <= split.y.min() <= split.y.max() < n_classes
        assert set(task.test.y) == set(range(n_classes))


@pytest.mark.parametrize(("name", "n_tasks"), [("split", 10), ("super", 20)])
def test_cifar100_from_its_binary_files(tmp_path, name, n_tasks):
    for part in ("train", "test"):
        write_cifar(tmp_path / "cifar-100-binary" / f"{part}.bin", list(range(100)) * 5, 2)
    tasks = getattr(local_suites, f"cifar100_{name}")(tmp_path)
    check(tasks, n_tasks, 100 // n_tasks, (3, 32, 32))
    assert len(tasks[0].valid) == len(tasks[0].test) // 5
    fine = [sorted(set(task.test.x[:, 0, 0, 0])) for task in tasks]
    assert sorted(c for group in fine for c in group) == list(range(100))
    assert fine[1] == (list(range(10, 20)) if name == "split" else [1, 32, 67, 73, 91])


@pytest.mark.parametrize("zipped", [False, True])
def test_permuted_mnist(tmp_path, zipped):
    write_mnist(tmp_path / "mnist", zipped=zipped)
    tasks = local_suites.pmnist(tmp_path)
    check(tasks, 10, 10, (3, 32, 32))
    first, second = tasks[0].test.x[0], tasks[1].test.x[0]
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first, axis=None), np.sort(second, axis=None))


def test_five_datasets(tmp_path):
    for part in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        write_cifar(tmp_path / "cifar-10-batches-bin" / f"{part}.bin", list(range(10)) * 2, 1)
    write_mnist(tmp_path / "mnist", zipped=False)
    write_mnist(tmp_path / "fashion-mnist", zipped=True)
    (tmp_path / "svhn").mkdir()
    for part in ("train", "test"):
        labels = np.tile(np.arange(1, 11), 4)[:, None]  # ten stands for the digit zero
        content = {"X": images(32, 32, 3, 40), "y": labels}
        savemat(tmp_path / "svhn" / f"{part}_32x32.mat", content)
    for letter in "ABCDEFGHIJ":
        folder = tmp_path / "notMNIST_small" / letter
        folder.mkdir(parents=True)
        for i in range(20):
            Image.fromarray(images(1, 28, 28)[0]).save(folder / f"{i}.png")
        (folder / "broken.png").write_bytes(b"")
    tasks = local_suites.five(tmp_path)
    check(tasks, 5, 10, (3, 32, 32))
    assert [t.name for t in tasks] == ["CIFAR-10", "MNIST", "SVHN", "Fashion-MNIST", "notMNIST"]
    assert len(tasks[4].train) + len(tasks[4].valid) + len(tasks[4].test) == 200


def test_tiny_imagenet(tmp_path):
    root = tmp_path / "tiny-imagenet-200"
    names = [f"n{i:03}" for i in range(6)]
    for name in names:
        (root / "train" / name / "images").mkdir(parents=True)
        for i in range(10):
            picture = images(1, 64, 64, 3)[0] if i else images(1, 64, 64)[0]  # some are grey
            Image.fromarray(picture).save(root / "train" / name / "images" / f"{name}_{i}.JPEG")
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for i in range(12):
        Image.fromarray(images(1, 64, 64, 3)[0]).save(root / "val" / "images" / f"val_{i}.JPEG")
        lines.append(f"val_{i}.JPEG\t{names[i % 6]}\t0\t0\t62\t62")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines))
    tasks = local_suites.tiny_imagenet(tmp_path, 3)
    check(tasks, 3, 2, (3, 64, 64))
    assert (len(tasks[0].train), len(tasks[0].valid), len(tasks[0].test)) == (18, 2, 4)


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^data: .*cifar-100-binary.*train.bin is missing"):
        local_suites.cifar100_split(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte.gz is missing"):
        local_suites.pmnist(tmp_path)
    write_mnist(tmp_path / "mnist", zipped=False)
    (tmp_path / "mnist" / "t10k-images-idx3-ubyte").write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"no IDX file"):
        local_suites.pmnist(tmp_path)
    path = tmp_path / "cifar-100-binary" / "train.bin"
    path.parent.mkdir()
    path.write_bytes(b"abc")
    with pytest.raises(ValueError, match=r"has 3 bytes"):
        local_suites.cifar100_split(tmp_path)


# ---- digits


@pytest.mark.parametrize("make", [digit_suites.permuted, digit_suites.rotated, digit_suites.split])
def test_digit_suites_are_ten_different_tasks(make):
    tasks = make()
    assert len(tasks) == 10
    assert len({task.name for task in tasks}) == 10
    for task in tasks:
        assert task.train.x.dtype == np.float32
        assert 0 <= task.train.x.min() < task.train.x.max() <= 1
        assert task.n_classes == (5 if make is digit_suites.split else 10)
        assert set(task.test.y) == set(range(task.n_classes))
    again = make()
    np.testing.assert_array_equal(tasks[3].train.x, again[3].train.x)


def test_rotation_zero_is_the_plain_image_and_ninety_degrees_turns():
    tasks = digit_suites.rotated()
    plain = digit_suites._digits()[0].x
    np.testing.assert_allclose(tasks[0].train.x, plain, atol=1e-6)
    turned = tasks[5].train.x  # 180 degrees
    np.testing.assert_allclose(turned, plain[:, :, ::-1, ::-1], atol=1e-5)


def test_orders_are_permutations():
    for n in (5, 10, 20, 40):
        orders = [order_of(name, n) for name in "ABCDE"]
        assert all(sorted(order) == list(range(n)) for order in orders)
        assert len(set(map(tuple, orders))) == 5
    with pytest.raises(ValueError, match=r"^order: got 'F'"):
        order_of("F", 10)


def test_batches_hold_every_image_once_and_no_single_one():
    split = Split(images(33, 1, 2, 2), np.arange(33))
    torch.manual_seed(0)
    batches = list(Batches(split, 8, shuffle=True))
    assert [len(y) for _, y in batches] == [8, 8, 8, 9]
    assert sorted(int(v) for _, y in batches for v in y) == list(range(33))
    assert [len(y) for _, y in Batches(Split(split.x[:1], split.y[:1]), 8, shuffle=False)] == [1]


def test_every_suite_names_a_network():
    assert len(SUITES) == 12
    for name, suite in SUITES.items():
        if not name.startswith("digits"):
            assert suite.settings.growth_budget is not None


def test_an_interrupted_benchmark_goes_on(tmp_path, monkeypatch):
    small = [digit_suites.split()[t] for t in range(3)]
    suite = SUITES["digits-split"]
    monkeypatch.setitem(SUITES, "digits-split", dataclasses.replace(suite, tasks=lambda: small))
    options = [
        "--suites",
        "digits-split",
        "--orders",
        "AB",
        "--epochs",
        "2",
        "--out",
        str(tmp_path),
    ]
    main([*options, "--methods", "halrp", "frozen"])
    path = tmp_path / "digits-split.json"
    first = json.loads(path.read_text())["runs"]
    assert set(first) == {"halrp/A", "halrp/B", "frozen/A", "frozen/B"}
    main(options)
    second = json.loads(path.read_text())["runs"]
    assert {key: second[key] for key in first} == first
    assert len(second) == 2 + 6 * 2
    for run in second.values():
        assert len(run["final"]) == 3
        assert min(run["final"]) > 0.1
    halrp = second["halrp/A"]
    assert halrp["learned"] == halrp["final"]  # nothing is forgotten without pruning
    assert second["single/A"]["growth"] == 2.0
    assert second["frozen/A"]["growth"] < halrp["growth"]
    with pytest.raises(SystemExit, match="was made with other settings"):
        main([*options, "--epochs", "3"])
    main([*options, "--shares", "0.3", "1", "--orders", "A"])
    third = json.loads(path.read_text())["runs"]
    assert {key: third[key] for key in second} == second
    rules = ("halrp", "flat", "energy", "knapsack")
    assert set(third) - set(second) == {f"{r}@{s}/A" for r in rules for s in ("0.3", "1")}
    assert third["halrp@1/A"]["growth"] > third["halrp@0.3/A"]["growth"]
    assert max(third["halrp@1/A"]["ranks"][0]) > 8  # without the suite's cap


def test_importance_writes_all_measures(tmp_path, monkeypatch):
    monkeypatch.setattr(importance, "N_EPOCHS", 1)
    importance.main(["--seeds", "1", "--out", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text())
    assert set(found) == set(importance.CASES)
    for content in found.values():
        assert set(content["correlations"]) == set(importance.MEASURES) == set(MEASURES)
        for row in content["example"]:
            assert all(row[measure] >= 0 for measure in importance.MEASURES)
