"""What a continual learner stores, counted in numbers and bytes."""

from dataclasses import dataclass

from torch import nn

from eigenflow.nn.layers import _LowRank


@dataclass(frozen=True)
class TaskSize:
    """What one task after the first stores, in numbers.

    Attributes
    ----------
    scales : int
        Row and column scales.
    factors, nonzero : int
        Entries of the low-rank factors, and those that are not zero.
    biases : int
        Of linear and convolution layers; the published count leaves them out.
    norms : int
        Scales and shifts of batch norms.
    statistics : int
        Running means and variances of batch norms and other buffers; the published count leaves
        them out.
    head : int
    n_bytes : int
        All of these. A factor with zeros is stored as its nonzero entries and a bit for every entry
        where that is shorter; the published count leaves the bits out.
    """

    scales: int
    factors: int
    nonzero: int
    biases: int
    norms: int
    statistics: int
    head: int
    n_bytes: int


@dataclass(frozen=True)
class ModelSize:
    """What all tasks store.

    Attributes
    ----------
    base : int
        Parameters of the first task's network with its head.
    base_bytes : int
        Its bytes, buffers included.
    tasks : tuple of TaskSize
        The later tasks.
    """

    base: int
    base_bytes: int
    tasks: tuple[TaskSize, ...]

    @property
    def growth(self) -> float:
        """Bytes of the later tasks over those of the base: everything that is stored."""
        return sum(t.n_bytes for t in self.tasks) / max(self.base_bytes, 1)

    @property
    def published_growth(self) -> float:
        """Growth as the published code counts it: without biases, statistics and index bits."""
        return sum(t.scales + t.nonzero + t.norms + t.head for t in self.tasks) / max(self.base, 1)

    @property
    def unpruned_growth(self) -> float:
        """The published growth with all factor entries: what the pruning rate is computed from."""
        return sum(t.scales + t.factors + t.norms + t.head for t in self.tasks) / max(self.base, 1)


def factor_bytes(n_entries: int, n_nonzero: int, itemsize: int) -> int:
    """Bytes of a factor: all entries, or the nonzero ones and a bit for each."""
    return min(n_entries * itemsize, n_nonzero * itemsize + -(-n_entries // 8))


def base_size(network: nn.Module) -> tuple[int, int]:
    """Return parameters and bytes of a plain network."""
    parameters = list(network.parameters())
    n_bytes = sum(t.numel() * t.element_size() for t in [*parameters, *network.buffers()])
    return sum(p.numel() for p in parameters), n_bytes


def task_size(network: nn.Module, head: str) -> TaskSize:
    """Count what a task's network has of its own."""
    counts = dict.fromkeys(("scales", "factors", "nonzero", "biases", "norms", "statistics"), 0)
    counts["head"] = n_bytes = 0
    for name, module in network.named_modules():
        low = isinstance(module, _LowRank)
        for key, p in module.named_parameters(recurse=False):
            size = p.numel()
            if low and key in ("left", "right"):
                nonzero = int(p.count_nonzero())
                counts["factors"] += size
                counts["nonzero"] += nonzero
                n_bytes += factor_bytes(size, nonzero, p.element_size())
                continue
            kind = "head" if name == head else "norms"
            if low:
                kind = "biases" if key == "bias" else "scales"
            counts[kind] += size
            n_bytes += size * p.element_size()
        for key, b in module.named_buffers(recurse=False):
            if key not in module._non_persistent_buffers_set:
                counts["statistics"] += b.numel()
                n_bytes += b.numel() * b.element_size()
    return TaskSize(**counts, n_bytes=n_bytes)
