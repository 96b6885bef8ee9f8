"""The matrix products of one linear layer, each on the fastest path for its size, precision and processor.

With x the input, W and b the parameters and δ = ∂L/∂z of z = x Wᵀ + b, a layer needs

    z = x Wᵀ + b        ∂L/∂W = δᵀ x        ∂L/∂x = δ W

All tensors are fixed, so a product is a list of operations without arguments.

Measured on the CPU with one thread: where a result has few columns, MKL, which torch calls, computes its transpose up
to five times faster. On some of AMD's processors with AVX-512 it runs at half their speed, while oneDNN, which torch
carries too, reaches it; on others both do, but for narrow products. bfloat16 halves the time again or better, but each
call costs 10-25 µs: it pays for large products.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch as th

from sb3_ddpg_custom.option_values import Precision

Operation = Callable[[], object]

# Multiply-adds of one product above which the faster path makes up for what a call of it costs more.
_ENOUGH_FOR_ONEDNN = 1_500_000
_WIDE_ENOUGH_FOR_ONEDNN = 64  # of all three dimensions
_ENOUGH_FOR_BFLOAT16 = 4_000_000


class Products:
    """The products as torch computes them by default: MKL on a CPU, cuBLAS on CUDA.

    :param x: input, (batch, inputs)
    :param weight: W, (outputs, inputs)
    :param z: gets x Wᵀ + b, (batch, outputs)
    :param delta: δ, (batch, outputs)
    """

    def __init__(self, x: th.Tensor, weight: th.Tensor, z: th.Tensor, delta: th.Tensor) -> None:
        self.x, self.weight, self.z, self.delta = x, weight, z, delta

    def forward(self, bias: th.Tensor, *, relu: bool) -> list[Operation]:
        """Write x Wᵀ + b, or max(0, x Wᵀ + b).

        :param bias: b, (outputs,)
        :param relu: which of the two
        """
        return [partial(_addmm_relu if relu else th.addmm, bias, self.x, self.weight.t(), out=self.z)]

    def begin_backward(self) -> list[Operation]:
        """Do what has to be done to δ first."""
        return []

    def into_weight(self, out: th.Tensor) -> list[Operation]:
        """Write δᵀ x.

        :param out: (outputs, inputs)
        """
        return _multiply(self.delta.t(), self.x, out)

    def into_input(self, out: th.Tensor) -> list[Operation]:
        """Write δ W.

        :param out: (batch, inputs)
        """
        return _multiply(self.delta, self.weight, out)


class OneDnnProducts(Products):
    """The same in float32 through oneDNN, which torch takes by itself for other types only."""

    def forward(self, bias: th.Tensor, *, relu: bool) -> list[Operation]:
        """Write x Wᵀ + b; see :meth:`Products.forward`."""
        return [partial(_onednn, self.x, self.weight, bias, self.z, "relu" if relu else "none")]

    def into_weight(self, out: th.Tensor) -> list[Operation]:
        """Write δᵀ x; see :meth:`Products.into_weight`."""
        # The first factor is copied to be transposed: better the narrow one.
        if out.shape[0] < out.shape[1]:
            return [partial(_onednn, self.delta.t(), self.x.t(), None, out)]
        return [partial(_onednn, self.x.t(), self.delta.t(), None, out.t())]

    def into_input(self, out: th.Tensor) -> list[Operation]:
        """Write δ W; see :meth:`Products.into_input`."""
        return [partial(_onednn, self.delta, self.weight.t(), None, out)]


class Bfloat16Products(Products):
    """The same with factors and results rounded to bfloat16; what goes in and comes out stays float32."""

    def __init__(self, x: th.Tensor, weight: th.Tensor, z: th.Tensor, delta: th.Tensor) -> None:
        super().__init__(x, weight, z, delta)
        self._x, self._weight, self._delta = _rounded(x), _rounded(weight), _rounded(delta)

    def forward(self, bias: th.Tensor, *, relu: bool) -> list[Operation]:
        """Write x Wᵀ + b, b unrounded; see :meth:`Products.forward`."""
        return [
            partial(self._x.copy_, self.x),
            partial(self._weight.copy_, self.weight),
            *_multiply_rounded(self._x, self._weight.t(), self.z),
            partial(self.z.add_, bias),
            *([partial(self.z.relu_)] if relu else []),
        ]

    def begin_backward(self) -> list[Operation]:
        """Round δ; x and W are still rounded from the forward pass."""
        return [partial(self._delta.copy_, self.delta)]

    def into_weight(self, out: th.Tensor) -> list[Operation]:
        """Write δᵀ x; see :meth:`Products.into_weight`."""
        return _multiply_rounded(self._delta.t(), self._x, out)

    def into_input(self, out: th.Tensor) -> list[Operation]:
        """Write δ W; see :meth:`Products.into_input`."""
        return _multiply_rounded(self._delta, self._weight, out)


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
    is_wide = min(batch_size, *weight.shape) >= _WIDE_ENOUGH_FOR_ONEDNN
    if weight.device.type == "cpu" and is_wide and multiply_adds >= _ENOUGH_FOR_ONEDNN and onednn_is_faster():
        return OneDnnProducts
    return Products


@lru_cache(maxsize=1)
def onednn_is_faster() -> bool:
    """Say whether oneDNN multiplies float32 matrices faster here than what torch takes: on AMD with AVX-512."""
    has_both = th.backends.mkldnn.is_available() and th.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    if not has_both or not hasattr(th.ops.mkldnn, "_linear_pointwise"):
        return False
    describe: Callable[[], dict[str, Any]] = getattr(th.cpu, "get_capabilities", dict)  # which older versions lack
    return th.backends.cpu.get_cpu_capability() == "AVX512" and "AMD" in str(describe().get("cpu_name"))


def _multiply(a: th.Tensor, b: th.Tensor, out: th.Tensor) -> list[Operation]:
    if out.device.type == "cpu" and 1 < out.shape[1] <= out.shape[0] // 8:
        transposed = out.new_empty(out.shape[::-1])
        return [partial(th.mm, b.t(), a.t(), out=transposed), partial(out.copy_, transposed.t())]
    return [partial(th.mm, a, b, out=out)]


def _multiply_rounded(a: th.Tensor, b: th.Tensor, out: th.Tensor) -> list[Operation]:
    result = _rounded(out)
    return [partial(th.mm, a, b, out=result), partial(out.copy_, result)]


def _rounded(tensor: th.Tensor) -> th.Tensor:
    return th.empty_like(tensor, dtype=th.bfloat16, memory_format=th.contiguous_format)


def _onednn(x: th.Tensor, weight: th.Tensor, bias: th.Tensor | None, out: th.Tensor, activation: str = "none") -> None:
    # torch's compiler puts this operator in the place of linear layers.
    out.copy_(th.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], ""))


def _addmm_then_relu(bias: th.Tensor, x: th.Tensor, weight_t: th.Tensor, *, out: th.Tensor) -> None:
    th.addmm(bias, x, weight_t, out=out).relu_()


_addmm_relu = getattr(th, "_addmm_activation", _addmm_then_relu)


def has_fast_bfloat16(device: th.device) -> bool:
    """Say whether a device multiplies bfloat16 faster than float32.

    :param device: where the networks are
    """
    if device.type == "cuda":
        return th.cuda.get_device_capability(device) >= (8, 0)
    return any(
        getattr(th.cpu, name, lambda: False)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
