"""Curvature of the loss from a model and its data."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from eigenflow.lowrank.importance import factor_of_mean
from eigenflow.lowrank.selection import as_scalar
from eigenflow.nn.network import device_of
from eigenflow.nn.training import Loader

Loss = Callable[[Tensor, Tensor], Tensor]


def batch_gradients(
    model: nn.Module,
    loader: Loader,
    layers: Sequence[str],
    *,
    loss: Loss = functional.cross_entropy,
) -> Iterator[tuple[list[NDArray[Any]], int]]:
    """Gradients of each batch's mean loss with respect to the layers' weights.

    Parameters
    ----------
    model : torch.nn.Module
        Put in evaluation mode while a batch is computed; its parameters' gradients stay untouched.
    loader : iterable of (x, y)
        Inputs and true labels, so that squares give the empirical Fisher matrix.
    layers : sequence of str
        Names of modules with a ``weight``.
    loss : callable
        Of outputs and labels; the mean over the batch.

    Returns
    -------
    iterator of (list of ndarray, int)
        Gradients in the order of `layers`, and the number of samples. `gradient_importance` and
        `gradient_moments` of `eigenflow.lowrank` read them.

    Raises
    ------
    ValueError
        If a layer is not in the model.

    Examples
    --------
    >>> import torch
    >>> import eigenflow as ef
    >>> model = torch.nn.Linear(3, 2)
    >>> batches = [(torch.randn(8, 3), torch.zeros(8, dtype=torch.long))]
    >>> [(grads, size)] = ef.nn.batch_gradients(model, batches, [""])
    >>> grads[0].shape, size
    ((2, 3), 8)
    """
    weights = _weights(model, layers)
    return _gradients(model, loader, weights, loss)


def _gradients(
    model: nn.Module, loader: Loader, weights: list[Tensor], loss: Loss
) -> Iterator[tuple[list[NDArray[Any]], int]]:
    place = device_of(model)
    for x, y in loader:
        with _Evaluating(model):
            value = loss(model(x.to(place)), y.to(place))
        grads = torch.autograd.grad(value, weights)
        yield [g.detach().cpu().numpy() for g in grads], len(x)


def hessian_trace(
    model: nn.Module,
    loader: Loader,
    layers: Sequence[str],
    *,
    n_probes: int = 8,
    loss: Loss = functional.cross_entropy,
    rng: int | np.random.Generator | None = None,
) -> NDArray[np.float64]:
    r"""Hutchinson's estimate of the trace of each layer's block of the Hessian.

    :math:`\mathrm{tr}\, H_{ll} = E[v_l^T (H v)_l]` for random signs v: one product with the Hessian
    gives an estimate for every layer, since different layers' signs are independent.

    Parameters
    ----------
    model, loader, layers, loss
        As in `batch_gradients`.
    n_probes : int
        Sign vectors for each batch.
    rng : int or numpy.random.Generator, optional
        Of the signs; equal seeds give equal results.

    Returns
    -------
    ndarray, shape (n_layers,)
        Traces of the Hessian of the mean loss over all samples. Divided by the number of weights
        they are importances on the scale of an average curvature. They can be negative away from a
        minimum.

    Raises
    ------
    ValueError
        If a layer is not in the model, the loader is empty or `n_probes` is below 1.

    Notes
    -----
    The variance of one probe is :math:`2 \sum_{i \ne j} H_{ij}^2` within the layer's block, plus
    the squares of its entries with other layers.
    Costs about four gradients a probe.

    Examples
    --------
    >>> import torch
    >>> import eigenflow as ef
    >>> model = torch.nn.Linear(3, 1, bias=False)
    >>> batches = [(torch.eye(3), torch.zeros(3, 1))]
    >>> ef.nn.hessian_trace(model, batches, [""], loss=torch.nn.functional.mse_loss).round(6)
    array([2.])
    """
    if n_probes < 1:
        msg = f"n_probes: got {n_probes}, want at least 1"
        raise ValueError(msg)
    weights = _weights(model, layers)
    place = device_of(model)
    generator = np.random.default_rng(rng)
    total, seen = np.zeros(len(weights)), 0
    for x, y in loader:
        with _Evaluating(model):
            value = loss(model(x.to(place)), y.to(place))
        grads = torch.autograd.grad(value, weights, create_graph=True)
        for _ in range(n_probes):
            signs = [_signs(w, generator) for w in weights]
            products = torch.autograd.grad(
                grads, weights, signs, retain_graph=True, materialize_grads=True
            )
            parts = [float((v * h).sum()) for v, h in zip(signs, products, strict=True)]
            total += np.array(parts) * len(x)
        seen += len(x)
    if seen == 0:
        msg = "loader: got no samples, want at least one batch"
        raise ValueError(msg)
    return total / (seen * n_probes)


def _signs(like: Tensor, generator: np.random.Generator) -> Tensor:
    drawn = 2 * generator.integers(0, 2, tuple(like.shape), dtype=np.int8) - 1
    return torch.from_numpy(drawn).to(like)


def activation_factors(
    model: nn.Module, loader: Loader, layers: Sequence[str], *, damping: float = 1e-6
) -> list[NDArray[np.float64]]:
    """Cholesky factors of the mean products of the layers' inputs.

    Parameters
    ----------
    model, loader, layers
        As in `batch_gradients`; the layers are Linear, or Conv2d without groups.
    damping : float
        As in `eigenflow.lowrank.activation_factor`.

    Returns
    -------
    list of ndarray
        (n, n) for Linear; (n a b, n a b) for Conv2d, whose inputs are the unfolded patches, zero
        padding included, and whose weights are the (m, n a b) reshape.

    Raises
    ------
    ValueError
        If a layer is not in the model or gets no input, or a convolution has groups or non-zero
        padding modes.

    Notes
    -----
    Products are summed in float64 batch by batch, so memory does not grow with the data.

    Examples
    --------
    >>> import torch
    >>> import eigenflow as ef
    >>> model = torch.nn.Linear(2, 1)
    >>> [C] = ef.nn.activation_factors(model, [(2 * torch.eye(2), torch.zeros(2))], [""])
    >>> C.round(3)
    array([[1.414, 0.   ],
           [0.   , 1.414]])
    """
    extra = as_scalar(damping, "damping", 1e-300, 1e300, "a positive number")
    products = [_InputProduct(_module(model, name)) for name in layers]
    handles = [p.module.register_forward_pre_hook(p.add) for p in products]
    try:
        with torch.no_grad(), _Evaluating(model):
            for x, _ in loader:
                model(x.to(device_of(model)))
    finally:
        for handle in handles:
            handle.remove()
    return [factor_of_mean(p.mean(name), extra) for name, p in zip(layers, products, strict=True)]


class _InputProduct:
    """Sum of x x^T over what a layer has seen, batch by batch."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._sum: Any = 0.0
        self._count = 0

    def add(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        rows = _rows(module, inputs[0].detach()).double()
        self._sum = self._sum + rows.T @ rows
        self._count += len(rows)

    def mean(self, name: str) -> NDArray[np.float64]:
        if not self._count:
            msg = f"loader: gave layer {name!r} no input, want at least one batch"
            raise ValueError(msg)
        mean = (self._sum / self._count).cpu().numpy()
        if not np.isfinite(mean).all():
            msg = f"loader: gave layer {name!r} inputs that are not finite, want finite ones"
            raise ValueError(msg)
        return np.asarray(mean)


def _rows(module: nn.Module, x: Tensor) -> Tensor:
    if not isinstance(module, nn.Conv2d):
        return x.reshape(-1, x.shape[-1])
    if module.groups != 1 or module.padding_mode != "zeros" or isinstance(module.padding, str):
        msg = f"layers: got {module}, want convolutions without groups and with zero padding"
        raise ValueError(msg)
    patches = functional.unfold(
        x, module.kernel_size, module.dilation, module.padding, module.stride
    )
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def _module(model: nn.Module, name: str) -> nn.Module:
    try:
        module = model.get_submodule(name)
    except AttributeError:
        module = None
    if getattr(module, "weight", None) is None:
        msg = f"layers: got {name!r}, want names of modules with a weight"
        raise ValueError(msg)
    return module


def _weights(model: nn.Module, layers: Sequence[str]) -> list[Tensor]:
    return [_module(model, name).weight for name in layers]


class _Evaluating:
    """Evaluation mode for a while; every module's own mode comes back."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._modes = [(m, m.training) for m in model.modules()]

    def __enter__(self) -> None:
        self._model.eval()

    def __exit__(self, *_: object) -> None:
        for module, mode in self._modes:
            module.training = mode
