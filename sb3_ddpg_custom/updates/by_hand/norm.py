"""Layer normalisation, forwards and backwards, on fixed tensors (Ba et al. 2016, arXiv 1607.06450).

Over the units of each sample, with the biased variance,

    v = n · g + h        n = (z - mean z) / √(var z + ε)

and backwards, with δ = ∂L/∂v on the way in and d = g · δ,

    ∂L/∂z = (d - mean d - n · mean (d · n)) / √(var z + ε)        ∂L/∂g = Σ δ · n        ∂L/∂h = Σ δ over the batch

Both are torch's own kernels, which go over memory once.
"""

from collections.abc import Sequence

import torch as th


class Norm:
    """One layer's normalisation.

    :param affine: g and h, each (units,)
    :param epsilon: ε
    :param z: what is normalised, (batch, units)
    :param out: gets v, (batch, units)
    :param delta: holds ∂L/∂v, and gets ∂L/∂z, (batch, units)
    """

    def __init__(
        self, affine: Sequence[th.Tensor], epsilon: float, z: th.Tensor, out: th.Tensor, delta: th.Tensor
    ) -> None:
        self.z = z
        self._scale, self._shift = affine
        self._epsilon, self._out, self._delta, self._shape = epsilon, out, delta, list(self._scale.shape)

    def forward(self) -> None:
        """Write v, and keep what the way back needs."""
        parameters = self._scale, self._shift, self._epsilon
        normed, self._mean, self._factor = th.native_layer_norm(self.z, self._shape, *parameters)
        self._out.copy_(normed)

    def backward(self) -> None:
        """Write ∂L/∂z."""
        self._delta.copy_(self._back([True, False, False])[0])

    def train(self, into_scale: th.Tensor, into_shift: th.Tensor) -> None:
        """Write ∂L/∂z, and the gradients of the parameters.

        :param into_scale: gets ∂L/∂g, (units,)
        :param into_shift: gets ∂L/∂h, (units,)
        """
        for gradient, out in zip(self._back([True] * 3), (self._delta, into_scale, into_shift), strict=True):
            out.copy_(gradient)

    def _back(self, wanted: list[bool]) -> tuple[th.Tensor, ...]:
        kept = self.z, self._shape, self._mean, self._factor, self._scale, self._shift
        gradients: tuple[th.Tensor, ...] = th.ops.aten.native_layer_norm_backward(self._delta, *kept, wanted)
        return gradients
