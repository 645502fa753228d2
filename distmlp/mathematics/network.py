"""Forward pass, backward pass and gradient of stacks of micro-batches.

Arrays are stacks (s, M, neurons): s micro-batches of M samples.  numpy's matmul makes one GEMM for
each of the s, so a micro-batch's numbers depend on its own shape and never on how many are stacked
beside it: that is what lets any rank compute any micro-batch.

Each line that is an equation of the notes' summary carries it as a tag, `# notes: …`; a test holds
the tags against docs/notes-to-code.md.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from distmlp.mathematics.activations import ACTIVATIONS, Activation
from distmlp.mathematics.costs import COSTS, MATCHED, Cost
from distmlp.mathematics.layout import Layout, aligned

#: Micro-batches of up to so many samples have products of their own: a GEMM of so few rows spends its time
#: packing w.
FEW_SAMPLES = 6

#: Bytes of the sums that run side by side in `weighted_sums`, whatever the width of a CPU's registers.
LANES_BYTES = 64


@dataclass(frozen=True)
class Network:
    """What the network is; its parameters are v.

    layers: neurons per layer, the input first.  activation: of the hidden layers.  output: of the
    last layer.  cost: "mse" or "cross-entropy".
    """

    layers: tuple[int, ...]
    activation: str = "sigmoid"
    output: str = "sigmoid"
    cost: str = "mse"

    @cached_property
    def layout(self) -> Layout:
        return Layout(self.layers)

    @cached_property
    def sigma(self) -> list[Activation]:
        """The activation of each layer; index 0, the input, has none."""
        hidden = [ACTIVATIONS[self.activation]] * (self.layout.N - 1)
        return [None, *hidden, ACTIVATIONS[self.output]]

    @cached_property
    def C(self) -> Cost:
        return COSTS[self.cost, self.output]

    @property
    def matched(self) -> bool:
        """Whether δ(N) is a − y, without σ'."""
        return (self.cost, self.output) in MATCHED


@dataclass
class Pass:
    """The arrays of one pass over s micro-batches of M samples: a[l] and delta[l], each (s, M, neurons of l).

    a[0] is the input, set by the caller; delta[0] is None.  z is the output layer's weighted sum.
    scratch[l] has delta[l]'s shape; all layers share its memory.
    """

    a: list
    delta: list
    z: np.ndarray
    scratch: list


class Workspace:
    """Memory for passes of at most `samples` samples in all, allocated once and viewed in any (s, M)."""

    def __init__(self, layers: tuple[int, ...], samples: int, dtype):
        self._layers = layers
        self._a = [None, *(aligned((samples * n,), dtype) for n in layers[1:])]
        self._delta = [None, *(aligned((samples * n,), dtype) for n in layers[1:])]
        self._z = np.empty(samples * layers[-1], dtype)
        self._scratch = aligned((samples * max(layers[1:]),), dtype)
        self._widest = max(layers[1:])
        self._passes = {}

    def view(self, s: int, M: int, offset: int = 0) -> Pass:
        """The arrays for s micro-batches of M samples, from the offset-th sample of the workspace on."""
        key = (s, M, offset)
        if key not in self._passes:

            def stack(flat, n, width=None):
                start = offset * (width or n)
                return flat[start : start + s * M * n].reshape(s, M, n)

            sizes = list(enumerate(self._layers))[1:]
            self._passes[key] = Pass(
                a=[None, *(stack(self._a[l], n) for l, n in sizes)],
                delta=[None, *(stack(self._delta[l], n) for l, n in sizes)],
                z=stack(self._z, self._layers[-1]),
                scratch=[None, *(stack(self._scratch, n, self._widest) for _, n in sizes)],
            )
        return self._passes[key]


def forward(network: Network, w, b, p: Pass) -> None:
    """a[1] … a[N] from a[0] (notes, section 3.4, "Forward Pass"); p.z keeps z(N)."""
    N = network.layout.N
    for l in range(1, N + 1):
        z = p.a[l]
        if z.shape[1] <= FEW_SAMPLES:
            weighted_sums(w[l], b[l], p.a[l - 1], z)
        else:
            np.matmul(p.a[l - 1], w[l].T, out=z)
            np.add(z, b[l], out=z)  # notes: z(L) = w(L) a(L-1) + b(L)
        if l == N:
            np.copyto(p.z, z)
        network.sigma[l].apply(z)  # notes: a(L) = sigma(z(L))


def backward(network: Network, w, p: Pass, y) -> None:
    """delta[N] … delta[1] from a and the desired output y, (s, M, outputs) (notes, section 3.3)."""
    N = network.layout.N
    if network.matched:
        np.subtract(p.a[N], y, out=p.delta[N])  # sigma'(z) cancels
    else:
        network.C.gradient(p.a[N], y, p.delta[N])
        network.sigma[N].chain(p.a[N], p.delta[N])  # notes: delta(N) = grad_a C * sigma'(z(N))
    for l in range(N - 1, 0, -1):
        np.matmul(p.delta[l + 1], w[l + 1], out=p.delta[l])
        network.sigma[l].chain(
            p.a[l], p.delta[l]
        )  # notes: delta(L) = (w(L+1)^T delta(L+1)) * sigma'(z(L))


def weight_gradient(delta, a, out) -> None:
    """Σ over the samples of each micro-batch of ∂C/∂w: delta is (s, M, n), a (s, M, m), out (s, n, m)."""
    if a.shape[1] <= FEW_SAMPLES:
        outer_sums(delta, a, out)
    else:
        np.matmul(delta.mT, a, out=out)  # notes: dC/dw(L) = delta(L) a(L-1)^T


def bias_gradient(delta, out, scale: float = 1.0) -> None:
    """Σ over the samples of each micro-batch of ∂C/∂b, times scale: out is (s, n), delta (s, M, n)."""
    sample_sums(delta, out, scale)  # notes: dC/db(L) = delta(L)


def weighted_sums_in_numpy(w, b, a, z) -> None:
    """z = w a + b for each sample of a, (s, M, m); w is (n, m), b (n,) and z (s, M, n).

    A lane adds up every so-many-th product from 0 on, in order; then the upper half of the lanes is added to
    the lower until one is left, and b to that.
    """
    products = w * a[..., None, :]
    lanes = LANES_BYTES // w.itemsize
    whole = products.shape[-1] // lanes * lanes
    sums = np.zeros((*products.shape[:-1], lanes), w.dtype)
    for start in range(0, whole, lanes):
        sums += products[..., start : start + lanes]
    sums[..., : products.shape[-1] - whole] += products[..., whole:]
    while lanes > 1:
        lanes //= 2
        sums = sums[..., :lanes] + sums[..., lanes:]
    np.add(sums[..., 0], b, out=z)


def outer_sums_in_numpy(delta, a, out) -> None:
    """out = Σ δ aᵀ over the samples of each micro-batch, one after another; shapes as for `weight_gradient`."""
    np.multiply(delta[:, 0, :, None], a[:, 0, None, :], out=out)
    for sample in range(1, a.shape[1]):
        out += delta[:, sample, :, None] * a[:, sample, None, :]


def sample_sums_in_numpy(delta, out, scale: float) -> None:
    """out = scale Σ δ over the samples of each micro-batch, one after another; shapes as for `bias_gradient`."""
    np.copyto(out, delta[:, 0])
    for sample in range(1, delta.shape[1]):
        out += delta[:, sample]  # not np.add.reduce, which adds pairwise where there is one neuron
    np.multiply(out, scale, out=out)


try:
    # The same in one pass over memory, from _network.c; it is there if a C compiler was when this was installed.
    from distmlp.kernels._network import outer_sums, sample_sums, weighted_sums
except ImportError:
    outer_sums, sample_sums, weighted_sums = (
        outer_sums_in_numpy,
        sample_sums_in_numpy,
        weighted_sums_in_numpy,
    )
