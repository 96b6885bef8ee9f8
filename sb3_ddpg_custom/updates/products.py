"""The matrix products of one linear layer, each on the fastest path for its size, precision and processor.

With x the input, W and b the parameters and δ = ∂L/∂z of z = x Wᵀ + b, a layer needs

    z = x Wᵀ + b        ∂L/∂W = δᵀ x        ∂L/∂x = δ W

Measured with one thread: what torch hands to MKL runs at half of what an AMD processor with AVX-512 can do, while
oneDNN, which torch carries too, reaches it. On Intel's processors MKL is at the limit already. bfloat16 halves the time
again or better, but each call costs 10-25 µs, so it pays for large products only.
"""

from functools import lru_cache
from typing import Literal

import torch as th

Precision = Literal["float32", "bfloat16"]

# Multiply-adds of one product above which the faster path makes up for what a call of it costs more.
_ENOUGH_FOR_ONEDNN = 1_500_000
_ENOUGH_FOR_BFLOAT16 = 4_000_000


class Products:
    """The products as torch computes them by default: MKL on a CPU, cuBLAS on CUDA.

    :param weight: W, (outputs, inputs)
    :param bias: b, (outputs,); None where only :meth:`backward` is wanted
    :param delta: δ, (batch, outputs), filled before :meth:`backward`; None where only :meth:`forward` is wanted
    """

    def __init__(self, weight: th.Tensor, bias: th.Tensor | None, delta: th.Tensor | None) -> None:
        self.weight, self.bias, self.delta = weight, bias, delta
        self._weight_t = weight.t()
        self._delta_t = None if delta is None else delta.t()
        self._x = weight

    def forward(self, x: th.Tensor, out: th.Tensor) -> None:
        """Write x Wᵀ + b.

        :param x: (batch, inputs); must stay as it is until :meth:`backward`
        :param out: (batch, outputs)
        """
        self._x = x
        th.addmm(self.bias, x, self._weight_t, out=out)

    def backward(self, into_weight: th.Tensor | None, into_input: th.Tensor | None) -> None:
        """Write what is wanted of δᵀ x and δ W.

        :param into_weight: gets ∂L/∂W, (outputs, inputs)
        :param into_input: gets ∂L/∂x, (batch, inputs)
        """
        if into_weight is not None:
            th.mm(self._delta_t, self._x, out=into_weight)
        if into_input is not None:
            th.mm(self.delta, self.weight, out=into_input)


class OneDnnProducts(Products):
    """The same in float32 through oneDNN, which torch calls by itself only for other types."""

    def forward(self, x: th.Tensor, out: th.Tensor) -> None:
        """Write x Wᵀ + b; see :meth:`Products.forward`."""
        self._x = x
        out.copy_(_linear(x, self.weight, self.bias))

    def backward(self, into_weight: th.Tensor | None, into_input: th.Tensor | None) -> None:
        """Write what is wanted of δᵀ x and δ W; see :meth:`Products.backward`."""
        if into_weight is not None:
            # The first factor is transposed in memory: better the narrow one.
            if into_weight.shape[0] < into_weight.shape[1]:
                into_weight.copy_(_linear(self._delta_t, self._x.t(), None))
            else:
                into_weight.t().copy_(_linear(self._x.t(), self._delta_t, None))
        if into_input is not None:
            into_input.copy_(_linear(self.delta, self._weight_t, None))


class Bfloat16Products(Products):
    """The same with factors rounded to bfloat16; sums, and what goes in and out, stay float32.

    Torch rounds each product's result to bfloat16, too; the bias is added after that.
    """

    def __init__(self, weight: th.Tensor, bias: th.Tensor | None, delta: th.Tensor | None) -> None:
        super().__init__(weight, bias, delta)
        self._rounded = [
            None if tensor is None else th.empty_like(tensor, dtype=th.bfloat16) for tensor in (weight, delta)
        ]
        self._results: dict[tuple[int, ...], th.Tensor] = {}

    def forward(self, x: th.Tensor, out: th.Tensor) -> None:
        """Write x Wᵀ + b; see :meth:`Products.forward`."""
        weight, _ = self._rounded
        assert weight is not None  # noqa: S101 (for mypy)
        self._x = x.to(th.bfloat16)
        self._into(out, self._x, weight.copy_(self.weight).t())
        if self.bias is not None:
            out.add_(self.bias)

    def backward(self, into_weight: th.Tensor | None, into_input: th.Tensor | None) -> None:
        """Write what is wanted of δᵀ x and δ W; see :meth:`Products.backward`."""
        weight, delta = self._rounded
        assert weight is not None  # noqa: S101 (for mypy)
        assert delta is not None  # noqa: S101 (for mypy)
        assert self.delta is not None  # noqa: S101 (for mypy)
        delta.copy_(self.delta)
        if into_weight is not None:
            self._into(into_weight, delta.t(), self._x)
        if into_input is not None:
            self._into(into_input, delta, weight)

    def _into(self, out: th.Tensor, first: th.Tensor, second: th.Tensor) -> None:
        result = self._results.get(out.shape)
        if result is None:
            result = self._results[out.shape] = th.empty(out.shape, dtype=th.bfloat16, device=out.device)
        out.copy_(th.mm(first, second, out=result))


def choose_products(weight: th.Tensor, batch_size: int, precision: Precision) -> type[Products]:
    """Choose the path for a layer: by arithmetic, so that the same layer takes the same one in each run on a machine.

    :param weight: W, (outputs, inputs)
    :param batch_size: rows of its input
    :param precision: ``"bfloat16"`` allows rounding
    """
    multiply_adds = weight.numel() * batch_size
    if weight.dtype is not th.float32:
        return Products
    if precision == "bfloat16" and multiply_adds >= _ENOUGH_FOR_BFLOAT16:
        return Bfloat16Products
    if weight.device.type == "cpu" and multiply_adds >= _ENOUGH_FOR_ONEDNN and onednn_is_faster():
        return OneDnnProducts
    return Products


@lru_cache(maxsize=1)
def onednn_is_faster() -> bool:
    """Say whether oneDNN multiplies float32 matrices faster here than what torch takes: on AMD with AVX-512."""
    return hasattr(th.ops.mkldnn, "_linear_pointwise") and th.backends.mkldnn.is_available() and _is_amd_with_avx512()


def _is_amd_with_avx512() -> bool:
    if th.backends.cpu.get_cpu_capability() != "AVX512" or not th.backends.mkl.is_available():
        return False
    describe = getattr(th.cpu, "get_capabilities", dict)  # since torch 2.9 or so
    return "AMD" in str(describe().get("cpu_name", ""))


def _linear(x: th.Tensor | None, weight: th.Tensor, bias: th.Tensor | None) -> th.Tensor:
    """Compute x Wᵀ + b through oneDNN; torch's compiler uses this operator for frozen networks."""
    result: th.Tensor = th.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result


def has_fast_bfloat16(device: th.device) -> bool:
    """Say whether a device multiplies bfloat16 faster than float32.

    :param device: where the networks are
    """
    if device.type == "cuda":
        return th.cuda.get_device_capability(device) >= (8, 0)
    return any(
        getattr(th.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
