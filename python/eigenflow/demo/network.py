"""A small fully connected network that trains in about a second: softmax, ReLU, Adam."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Network:
    """Parameters in one vector: head, then biases, then the weights of the hidden layers.

    What a new task always brings (head and biases) comes first, so training it alone is training a
    prefix.
    """

    def __init__(self, sizes: Sequence[int], n_classes: int, rng: np.random.Generator) -> None:
        self.shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        self.n_classes = n_classes
        self.n_task = n_classes * (sizes[-1] + 1) + sum(sizes[1:])
        self.vector = np.zeros(self.n_task + sum(m * n for m, n in self.shapes), np.float32)
        self.head, self.head_bias, self.biases, self.weights = self._views(self.vector)
        for w in [self.head, *self.weights]:
            w[:] = rng.normal(scale=np.sqrt(2 / w.shape[1]), size=w.shape)

    def _views(self, vector: Array) -> tuple[Array, Array, list[Array], list[Array]]:
        place = 0

        def take(*shape: int) -> Array:
            nonlocal place
            size = int(np.prod(shape))
            place += size
            return vector[place - size : place].reshape(shape)

        head, head_bias = take(self.n_classes, self.shapes[-1][0]), take(self.n_classes)
        biases = [take(m) for m, _ in self.shapes]
        return head, head_bias, biases, [take(m, n) for m, n in self.shapes]

    def adapted(self, n_classes: int, rng: np.random.Generator) -> "Network":
        """Copy the hidden layers under a fresh head."""
        sizes = [self.shapes[0][1], *(m for m, _ in self.shapes)]
        other = Network(sizes, n_classes, rng)
        for mine, theirs in zip(
            self.biases + self.weights, other.biases + other.weights, strict=True
        ):
            theirs[:] = mine
        return other

    def with_weights(self, weights: Sequence[NDArray[np.floating]]) -> "Network":
        """Copy the head and the biases, and put other hidden weights in."""
        other = self.adapted(self.n_classes, np.random.default_rng(0))
        other.vector[: self.n_task] = self.vector[: self.n_task]
        for new, theirs in zip(weights, other.weights, strict=True):
            theirs[:] = new
        return other

    def _layers(self, X: Array) -> list[Array]:
        outputs = [X]
        for weight, bias in zip(self.weights, self.biases, strict=True):
            outputs.append(np.maximum(outputs[-1] @ weight.T + bias, 0))
        return outputs

    def accuracy(self, X: Array, y: NDArray[np.int64]) -> float:
        """Return the share of rows of X with the right class."""
        scores = self._layers(X)[-1] @ self.head.T + self.head_bias
        return float(np.mean(scores.argmax(1) == y))

    def gradient(self, X: Array, y: NDArray[np.int64], *, task_only: bool = False) -> Array:
        """Gradient of the mean cross-entropy, as one vector."""
        outputs = self._layers(X)
        scores = outputs[-1] @ self.head.T + self.head_bias
        scores = np.exp(scores - scores.max(1, keepdims=True))
        error = scores / scores.sum(1, keepdims=True)
        error[np.arange(y.size), y] -= 1
        error /= y.size
        result = np.zeros_like(self.vector)
        head, head_bias, biases, weights = self._views(result)
        head[:], head_bias[:] = error.T @ outputs[-1], error.sum(0)
        upper = self.head
        for i in reversed(range(len(self.weights))):
            error = (error @ upper) * (outputs[i + 1] > 0)
            biases[i][:] = error.sum(0)
            if not task_only:
                weights[i][:] = error.T @ outputs[i]
            upper = self.weights[i]
        return result

    def importance(self, X: Array, y: NDArray[np.int64], batch: int = 32) -> NDArray[np.float64]:
        """Mean square of the entries of each layer's gradient over batches (empirical Fisher)."""
        total = np.zeros(len(self.weights))
        for start in range(0, y.size, batch):
            rows = slice(start, start + batch)
            *_, weights = self._views(self.gradient(X[rows], y[rows]))
            total += [np.mean(np.square(g, dtype=np.float64)) * y[rows].size for g in weights]
        return total / y.size

    def train(
        self,
        X: Array,
        y: NDArray[np.int64],
        rng: np.random.Generator,
        *,
        epochs: int,
        step_size: float = 2e-3,
        batch: int = 64,
        task_only: bool = False,
    ) -> None:
        """Adam on shuffled batches; `task_only` leaves the hidden weights as they are."""
        part = slice(0, self.n_task if task_only else None)
        mean = np.zeros_like(self.vector[part])
        square = np.zeros_like(mean)
        count = 0
        for _ in range(epochs):
            order = rng.permutation(y.size)
            for start in range(0, y.size, batch):
                rows = order[start : start + batch]
                gradient = self.gradient(X[rows], y[rows], task_only=task_only)[part]
                count += 1
                mean += 0.1 * (gradient - mean)
                square += 0.001 * (gradient * gradient - square)
                scale = step_size * np.sqrt(1 - 0.999**count) / (1 - 0.9**count)
                self.vector[part] -= np.float32(scale) * mean / (np.sqrt(square) + 1e-8)
