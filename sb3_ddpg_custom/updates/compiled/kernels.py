"""One update as a single function of machine code, compiled by Numba.

The derivation is that of ``analytic.py`` and ``mlp.py``, the optimiser that of ``flat.py``. Arrays of float32 (or all
of float64) hold a network's numbers in one row: parameters as W and b of each layer in turn, with a layer norm's scale
g and shift h behind them, values as its input and then each layer's output for the whole batch. A :func:`layout` tells
where each begins.

All of it is in one file because Numba compiles anew what changed in a function's own file only.
"""

import itertools
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

# ε of torch's layer norms.
NORM_EPSILON = 1e-5
# Where the statistics have the gradients' norms.
CRITIC_NORM, ACTOR_NORM = 5, 6

F = TypeVar("F", bound=Callable[..., Any])
Array = NDArray[Any]


def compiled(function: F, *, fastmath: Any = frozenset({"reassoc", "contract", "nsz"})) -> F:
    """Have a function compiled when it is called first, and its machine code kept for the next process."""
    # Sums may be added up in any order, as every BLAS does; NaN and infinity keep their meaning. Other threads may run.
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": fastmath and set(fastmath)}
    try:
        machine_code: F = njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to keep machine code in for the next process
        machine_code = njit(**options)(function)
    return machine_code


def layout(widths: Sequence[int], batch_size: int, norms: Sequence[bool] = ()) -> NDArray[np.int64]:
    """Tell for each layer its inputs, its outputs, and where W, b, x, y and what a layer norm keeps begin.

    A norm's scale and shift lie behind b. Behind all y, in the same row, it keeps z made mean 0 and variance 1, and the
    factors that did it, one for each transition.

    :param widths: of the input and of each layer's output
    :param batch_size: rows of x and y
    :param norms: of each layer, whether it has a layer norm; empty for none at all
    :return: (layers, 7); the last number is -1 where there is no norm
    """
    rows, parameter, value, kept = [], 0, 0, batch_size * sum(widths)
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        bias, output = parameter + outputs * inputs, value + batch_size * inputs
        has_norm = bool(norms) and norms[layer]
        rows.append((inputs, outputs, parameter, bias, value, output, kept if has_norm else -1))
        parameter, value = bias + outputs * (3 if has_norm else 1), output
        kept += batch_size * (outputs + 1) if has_norm else 0
    return np.array(rows, np.int64)


def room(layers: NDArray[np.int64], batch_size: int) -> int:
    """Tell how many numbers the values of a network are.

    :param layers: see :func:`layout`
    :param batch_size: as given to it
    """
    normed = layers[layers[:, 6] >= 0]
    return batch_size * int(layers[0, 0] + layers[:, 1].sum() + (normed[:, 1] + 1).sum())


class Network(NamedTuple):
    """A perceptron: linear layers with ReLU, or layer norm and ReLU, between them.

    :param layers: where things are, see :func:`layout`
    :param parameters: W and b of all layers, and g and h of those with a norm
    :param values: x and y of all layers, and what norms keep
    :param deltas: like ``values``: gets ∂L/∂z in the place of each y = f(z), z = x Wᵀ + b, and ∂L/∂n in that of n
    :param gradient: like ``parameters``: gets ∂L/∂W and ∂L/∂b, ∂L/∂g and ∂L/∂h
    :param targets: like ``parameters``: those of its target network
    :param first: like ``parameters``: Adam's m
    :param second: like ``parameters``: Adam's v
    :param steps: steps that Adam has made, one count for each W, b, g and h
    """

    layers: NDArray[np.int64]
    parameters: Array
    values: Array
    deltas: Array
    gradient: Array
    targets: Array
    first: Array
    second: Array
    steps: NDArray[np.float32]


class AdamOptions(NamedTuple):
    """Adam's constants at this moment, and the moments that are negligible then, see ``flat.py``."""

    rate: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    least_first: float
    least_second: float
    decoupled: bool = False


@compiled
def options_in(row: NDArray[np.float64]) -> AdamOptions:
    """Read options out of an array, which takes less time to hand over."""
    return AdamOptions(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7] > 0)


@compiled
def _cut(row: Array, start: int, rows: int, columns: int) -> Array:
    return row[start : start + rows * columns].reshape(rows, columns)


@compiled
def forward(layers: NDArray[np.int64], parameters: Array, values: Array, batch_size: int) -> Array:
    """Compute y = max(0, x Wᵀ + b) of each layer from that before it; the last one is y = x Wᵀ + b.

    With a layer norm y = max(0, n g + h), n = (z - mean z) / √(var z + ε), z = x Wᵀ + b.

    :return: the last y, (batch, outputs)
    """
    y = _cut(values, 0, batch_size, layers[0, 0])
    for i in range(len(layers)):
        inputs, outputs, weight_at, bias_at, x_at, y_at, norm_at = layers[i]
        x, y = _cut(values, x_at, batch_size, inputs), _cut(values, y_at, batch_size, outputs)
        np.dot(x, _cut(parameters, weight_at, outputs, inputs).T, y)
        bias = parameters[bias_at : bias_at + outputs]
        if norm_at >= 0:
            normed, factors = _cut(values, norm_at, batch_size, outputs), norm_at + batch_size * outputs
            kept = values[factors : factors + batch_size]
            normalise(y, bias, _cut(parameters, bias_at + outputs, 2, outputs), normed, kept)
            continue
        floor = bias.dtype.type(0 if i + 1 < len(layers) else -np.inf)
        for row in range(batch_size):
            for column in range(outputs):
                z = y[row, column] + bias[column]
                y[row, column] = floor if z < floor else z
    return y


@compiled
def normalise(y: Array, bias: Array, scale_and_shift: Array, normed: Array, factors: Array) -> None:
    """Turn x Wᵀ into max(0, n g + h), n = (z - mean z) / √(var z + ε), z = x Wᵀ + b; mean and variance are each row's.

    :param y: x Wᵀ, gets the result, (batch, outputs)
    :param scale_and_shift: g and h, (2, outputs)
    :param normed: gets n, (batch, outputs)
    :param factors: gets 1 / √(var z + ε), (batch,)
    """
    scale, shift = scale_and_shift[0], scale_and_shift[1]
    kind = y.dtype.type
    zero, one, share, epsilon = kind(0), kind(1), kind(1 / y.shape[1]), kind(NORM_EPSILON)
    for row in range(len(y)):
        own, n = y[row], normed[row]
        total = zero
        for k in range(len(own)):
            own[k] += bias[k]
            total += own[k]
        mean, squares = total * share, zero
        for k in range(len(own)):
            n[k] = own[k] - mean
            squares += n[k] * n[k]
        factor = one / np.sqrt(squares * share + epsilon)
        factors[row] = factor
        for k in range(len(own)):
            n[k] *= factor
            result = n[k] * scale[k] + shift[k]
            own[k] = zero if result < zero else result


@compiled
def through_norm(delta: Array, y: Array, scale: Array, normed: Array, factors: Array, behind: Array) -> None:
    """Turn ∂L/∂y of y = max(0, v), v = n g + h, into ∂L/∂z = (d - mean d - n mean (d n)) / √(var z + ε), d = g ∂L/∂v.

    :param delta: ∂L/∂y, gets ∂L/∂z, (batch, outputs)
    :param behind: gets ∂L/∂v, (batch, outputs)
    """
    zero = delta.dtype.type(0)
    share = delta.dtype.type(1 / delta.shape[1])
    for row in range(len(delta)):
        own, n, v, outcome = delta[row], normed[row], behind[row], y[row]
        total, with_n = zero, zero
        for k in range(len(own)):
            v[k] = zero if outcome[k] <= zero else own[k]
        for k in range(len(own)):
            own[k] = v[k] * scale[k]
            total += own[k]
            with_n += own[k] * n[k]
        factor, mean, along = factors[row], total * share, with_n * share
        for k in range(len(own)):
            own[k] = (own[k] - mean - n[k] * along) * factor


@compiled
def backward(layers: NDArray[np.int64], parameters: Array, values: Array, deltas: Array, batch_size: int) -> None:
    """Compute ∂L/∂z of each layer from that behind it: ∂L/∂x = δ W, and z counts where ReLU let it through."""
    zero = deltas.dtype.type(0)
    for i in range(len(layers) - 1, 0, -1):
        inputs, outputs, weight_at, _, x_at, y_at, _ = layers[i]
        delta, before = _cut(deltas, y_at, batch_size, outputs), _cut(deltas, x_at, batch_size, inputs)
        np.dot(delta, _cut(parameters, weight_at, outputs, inputs), before)
        x = _cut(values, x_at, batch_size, inputs)
        norm_at = layers[i - 1, 6]
        if norm_at >= 0:
            scale_at, factors = layers[i - 1, 3] + inputs, norm_at + batch_size * inputs
            scale, kept = parameters[scale_at : scale_at + inputs], values[factors : factors + batch_size]
            behind = _cut(deltas, norm_at, batch_size, inputs)
            through_norm(before, x, scale, _cut(values, norm_at, batch_size, inputs), kept, behind)
            continue
        for row in range(batch_size):
            for column in range(inputs):
                before[row, column] = zero if x[row, column] <= zero else before[row, column]


@compiled
def parameter_gradients(network: Network, ones: Array) -> None:
    """Compute ∂L/∂W = δᵀ x and ∂L/∂b = Σ δ over the batch, ∂L/∂g = Σ n ∂L/∂v and ∂L/∂h = Σ ∂L/∂v, of all layers.

    :param ones: 1 for each transition
    """
    batch_size = len(ones)
    for i in range(len(network.layers)):
        inputs, outputs, weight_at, bias_at, x_at, y_at, norm_at = network.layers[i]
        delta, x = _cut(network.deltas, y_at, batch_size, outputs), _cut(network.values, x_at, batch_size, inputs)
        np.dot(delta.T, x, _cut(network.gradient, weight_at, outputs, inputs))
        np.dot(ones, delta, network.gradient[bias_at : bias_at + outputs])
        if norm_at >= 0:
            slopes = _cut(network.gradient, bias_at + outputs, 2, outputs)
            behind, normed = _cut(network.deltas, norm_at, batch_size, outputs), network.values
            np.dot(ones, behind, slopes[1])
            sum_of_products(behind, _cut(normed, norm_at, batch_size, outputs), slopes[0])


@compiled
def sum_of_products(a: Array, b: Array, out: Array) -> None:
    """Write Σ a b over the rows of two matrices."""
    out[:] = 0
    for row in range(len(a)):
        left, right = a[row], b[row]
        for k in range(len(out)):
            out[k] += left[k] * right[k]


@compiled
def end_of(layers: NDArray[np.int64], part: int) -> int:
    """Tell where one of the parameters W, b, and g and h where there is a norm, of each layer in turn, ends."""
    for i in range(len(layers)):
        parts = 2 if layers[i, 6] < 0 else 4
        if part < parts:
            return layers[i, 3] + part * layers[i, 1]  # type: ignore[no-any-return]
        part -= parts
    return -1


@compiled
def descend(network: Network, options: AdamOptions, norm: float, max_norm: float, tau: float) -> None:
    """Clip the gradient, make Adam's step, and let the target network follow: θ' ← (1 - τ) θ' + τ θ."""
    parameters, gradients, targets = network.parameters, network.gradient, network.targets
    firsts, seconds = network.first, network.second
    kind = parameters.dtype.type
    for part in range(len(network.steps)):  # network.steps[:] += 1 takes a fifth of all compilation
        network.steps[part] += 1
    beta1, rest1 = kind(options.beta1), kind(1 - options.beta1)
    beta2, rest2 = kind(options.beta2), kind(1 - options.beta2)
    decay, epsilon, zero = kind(options.weight_decay), kind(options.epsilon), kind(0)
    least_first, least_second = kind(options.least_first), kind(options.least_second)
    if options.decoupled:  # AdamW: θ ← θ - α λ θ, and nothing of it in the gradient
        parameters *= kind(1 - options.rate * options.weight_decay)
        decay = zero
    if max_norm < norm + 1e-6:  # never with an infinite bound, nor with NaN
        gradients *= kind(max_norm / (norm + 1e-6))
    # Runs of tensors that have made as many steps, nearly always one: what joined later is corrected by its own count.
    part, parts, start = 0, len(network.steps), 0
    while part < parts:
        step = np.float64(network.steps[part])
        end = start
        while part < parts and network.steps[part] == step:
            end = end_of(network.layers, part)
            part += 1
        rate = kind(options.rate / (1 - options.beta1**step))
        correction = kind(1 / np.sqrt(1 - options.beta2**step))
        own, slopes, first_row, second_row = (
            parameters[start:end],
            gradients[start:end],
            firsts[start:end],
            seconds[start:end],
        )
        for k in range(len(own)):
            gradient = slopes[k] + decay * own[k]
            first = beta1 * first_row[k] + rest1 * gradient
            second = beta2 * second_row[k] + rest2 * gradient * gradient
            first_row[k] = zero if abs(first) < least_first else first
            second_row[k] = zero if second < least_second else second
            own[k] -= rate * first / (np.sqrt(second) * correction + epsilon)
        start = end
    keep, share = kind(1 - tau), kind(tau)
    for k in range(len(parameters)):  # by itself: with a fifth array the compiler does not use vectors
        targets[k] = keep * targets[k] + share * parameters[k]


@compiled
def critic_gradient(
    actor: Network,
    critic: Network,
    next_actor_values: Array,
    next_critic_values: Array,
    numbers: Array,
    statistics: Array,
    count: int,
) -> None:
    """Compute the gradient of L = mean w (Q(s, a) - y)²; the parameters are those of :func:`update`.

    :param count: transitions of the whole batch, of which these may be a part: gradients and statistics of the parts
        add up
    """
    rewards, discounts, scale, errors, ones = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    batch_size = len(ones)
    # y = r + γ (1 - terminated) Q'(s', μ'(s'))
    next_actions = forward(actor.layers, actor.targets, next_actor_values, batch_size)
    squash(next_actions, critic.layers, next_critic_values)
    next_q_values = forward(critic.layers, critic.targets, next_critic_values, batch_size)
    # ∂L/∂Q = 2 w (Q - y) / n
    q_values = forward(critic.layers, critic.parameters, critic.values, batch_size)
    delta = _cut(critic.deltas, critic.layers[-1, 5], batch_size, 1)
    loss, q_sum, q_max, error_sum = 0.0, 0.0, q_values[0, 0], 0.0
    for row in range(batch_size):
        q = q_values[row, 0]
        error = q - (rewards[row] + discounts[row] * next_q_values[row, 0])
        errors[row] = abs(error)
        delta[row, 0] = error * scale[row]
        loss += error * delta[row, 0] / 2
        error_sum += errors[row]
        q_sum += q
        q_max = q if q > q_max or q != q else q_max  # NaN comes through
    statistics[0], statistics[2], statistics[3] = loss, q_sum / count, q_max
    statistics[4] = error_sum / count
    backward(critic.layers, critic.parameters, critic.values, critic.deltas, batch_size)
    parameter_gradients(critic, ones)


@compiled
def actor_gradient(actor: Network, critic: Network, ones: Array, statistics: Array, penalty: float, count: int) -> None:
    """Compute the gradient of -J + c mean z², J = mean Q(s, μ(s)), μ(s) = tanh(z): descending it ascends J.

    :param count: as for :func:`critic_gradient`
    """
    batch_size = len(ones)
    actions = forward(actor.layers, actor.parameters, actor.values, batch_size)
    z = actions.copy() if penalty != 0 else actions
    squash(actions, critic.layers, critic.values)
    q_values = forward(critic.layers, critic.parameters, critic.values, batch_size)
    # ∂(-J)/∂Q = -1 / n, and back through the critic
    q_sum, y_at = 0.0, critic.layers[-1, 5]
    for row in range(batch_size):
        q_sum += q_values[row, 0]
        critic.deltas[y_at + row] = -1.0 / count
    statistics[1] = -q_sum / count
    backward(critic.layers, critic.parameters, critic.values, critic.deltas, batch_size)
    # ∂(-J)/∂a = δ W for the columns of W that multiply a, and through the tanh: tanh' = 1 - tanh²
    inputs, hidden, n_actions = critic.layers[0, 0], critic.layers[0, 1], actions.shape[1]
    columns = np.ascontiguousarray(_cut(critic.parameters, 0, hidden, inputs)[:, inputs - n_actions :])
    delta = _cut(actor.deltas, actor.layers[-1, 5], batch_size, n_actions)
    np.dot(_cut(critic.deltas, critic.layers[0, 5], batch_size, hidden), columns, delta)
    for row in range(batch_size):
        for column in range(n_actions):
            delta[row, column] -= delta[row, column] * actions[row, column] ** 2
    if penalty != 0:  # ∂(c mean z²)/∂z = 2 c z / (n · actions)
        slope = delta.dtype.type(2 * penalty / (count * n_actions))
        for row in range(batch_size):
            for column in range(n_actions):
                delta[row, column] += slope * z[row, column]
    backward(actor.layers, actor.parameters, actor.values, actor.deltas, batch_size)
    parameter_gradients(actor, ones)


@compiled
def step(
    network: Network,
    options: NDArray[np.float64],
    statistics: Array,
    norm_at: int,
    max_norm: float,
    tau: float,
    guards: bool,
) -> bool:
    """Descend along a network's gradient; the parameters are those of :func:`update`.

    :param options: those of :class:`AdamOptions`, (8,)
    :param norm_at: where in ``statistics`` the gradient's L2 norm belongs
    :return: whether there was a step
    """
    statistics[norm_at] = np.sqrt(np.dot(network.gradient, network.gradient))
    if guards and not np.isfinite(statistics[norm_at]):
        return False
    descend(network, options_in(options), statistics[norm_at], max_norm, tau)
    return True


@compiled
def squash(actions: Array, layers: NDArray[np.int64], values: Array) -> None:
    """Turn an actor's last y into actions a = tanh(y), and write them into a critic's input (s, a), too.

    :param actions: (batch, actions)
    :param layers: of the critic
    :param values: of the critic
    """
    inputs = _cut(values, 0, len(actions), layers[0, 0])
    features = layers[0, 0] - actions.shape[1]
    for row in range(len(actions)):
        for column in range(actions.shape[1]):
            actions[row, column] = np.tanh(actions[row, column])
            inputs[row, features + column] = actions[row, column]


@compiled
def update(
    actor: Network,
    critic: Network,
    next_actor_values: Array,
    next_critic_values: Array,
    numbers: Array,
    statistics: Array,
    options: NDArray[np.float64],
    max_norm: float,
    tau: float,
    guards: bool,
    penalty: float,
) -> None:
    """Change both networks and their targets once.

    :param actor: its ``values`` begin with s
    :param critic: its ``values`` begin with (s, a)
    :param next_actor_values: of the actor's target, beginning with s'
    :param next_critic_values: of the critic's target, beginning with (s', room for an action)
    :param numbers: r, γⁿ (1 - terminated), 2 w / n, room for abs(Q(s, a) - y), and 1, for all transitions, (5, batch)
    :param statistics: gets those of :class:`sb3_ddpg_custom.updates.UpdateStatistics`, in its order, (7,)
    :param options: those of :class:`AdamOptions`, of the actor and of the critic, (2, 8)
    :param max_norm: bound on the L2 norm of each network's gradient, infinity for none
    :param tau: fraction of the online networks that enters the targets
    :param guards: do not step along a gradient that is not finite
    :param penalty: c of :func:`sb3_ddpg_custom.losses.pre_tanh_penalty`, 0 for none
    """
    count = numbers.shape[1]
    critic_gradient(actor, critic, next_actor_values, next_critic_values, numbers, statistics, count)
    if step(critic, options[1], statistics, CRITIC_NORM, max_norm, tau, guards):
        actor_gradient(actor, critic, numbers[4], statistics, penalty, count)
        step(actor, options[0], statistics, ACTOR_NORM, max_norm, tau, guards)


@compiled
def act(layers: NDArray[np.int64], parameters: Array, values: Array, observations: Array) -> Array:
    """Compute μ(s).

    :param observations: of any type, (n, features)
    :return: in [-1, 1], (n, actions)
    """
    n, features = observations.shape
    for row in range(n):
        for column in range(features):
            values[row * features + column] = observations[row, column]
    return np.tanh(forward(layers, parameters, values, n))


@compiled
def load(
    observations: Array,
    actions: Array,
    next_observations: Array,
    columns: tuple[Array, Array, Array, Array],
    values: tuple[Array, Array, Array, Array],
    numbers: Array,
    count: int,
) -> None:
    """Copy a batch, or a part of one, to where :func:`update` reads it.

    :param observations: of any type, as all others, (batch, features)
    :param columns: rewards, dones, discounts and weights, (batch, 1)
    :param values: of the actor, of the critic, and of their targets
    :param count: transitions of the whole batch
    """
    rewards, dones, discounts, weights = columns
    batch_size, features = observations.shape
    inputs = features + actions.shape[1]
    s, s_a, next_s, next_s_a = values
    for row in range(batch_size):
        x, x_a = row * features, row * inputs
        for column in range(features):
            s[x + column] = s_a[x_a + column] = observations[row, column]
            next_s[x + column] = next_s_a[x_a + column] = next_observations[row, column]
        for column in range(actions.shape[1]):
            s_a[x_a + features + column] = actions[row, column]
        numbers[0, row] = rewards[row, 0]
        numbers[1, row] = discounts[row, 0] * (1 - dones[row, 0])
        numbers[2, row] = 2 * weights[row, 0] / count


# Bit by bit what NumPy makes of a batch, and so no fused operations; from eight steps on NumPy adds rewards in pairs.
@partial(compiled, fastmath=False)
def gather(
    indices: NDArray[np.int64],
    fields: tuple[Array, Array, Array, Array, NDArray[np.bool_], NDArray[np.bool_]],
    ring: tuple[int, int],
    powers: Array,
    values: tuple[Array, Array, Array, Array],
    numbers: Array,
    count: int,
) -> bool:
    """Copy transitions of a replay buffer to where :func:`update` reads them, with returns of n steps.

    A sequence ends with the transition that ends its episode, or is its env's newest: y = Σ γᵏ rₖ + γⁿ Q'.

    :param indices: of the transitions, row * n_envs + env, (batch,)
    :param fields: observations, actions, next observations, rewards, dones and timeouts of all transitions
    :param ring: n_envs, and the newest row
    :param powers: γ⁰ to γⁿ
    :param values: as for :func:`load`
    :param numbers: as for :func:`load`
    :param count: transitions of the whole batch
    :return: whether there are such transitions
    """
    observations, actions, next_observations, rewards, dones, timeouts = fields
    n_envs, newest = ring
    features, action_dim = observations.shape[1], actions.shape[1]
    inputs = features + action_dim
    s, s_a, next_s, next_s_a = values
    kind = numbers.dtype.type
    for row in range(len(indices)):
        first = last = indices[row]
        if first < 0 or first >= len(rewards):
            return False
        total, steps = rewards[first] * powers[0], 1
        while steps < len(powers) - 1 and not (dones[last] or timeouts[last] or last // n_envs == newest):
            last = (last + n_envs) % len(rewards)
            total += rewards[last] * powers[steps]
            steps += 1
        x, x_a = row * features, row * inputs
        for column in range(features):
            s[x + column] = s_a[x_a + column] = observations[first, column]
            next_s[x + column] = next_s_a[x_a + column] = next_observations[last, column]
        for column in range(action_dim):
            s_a[x_a + features + column] = actions[first, column]
        numbers[0, row] = total
        numbers[1, row] = kind(0) if dones[last] and not timeouts[last] else kind(powers[steps])
        numbers[2, row] = kind(2 / count)
    return True


@compiled
def normalize(observations: Array, mean: Array, deviation: Array, clip: float, normalized: Array) -> None:
    """Compute clip((s - mean) / deviation, ±clip) in float64; NaN comes through.

    :param observations: of any type, (batch, features)
    :param mean: float64, (features,)
    :param deviation: float64, (features,)
    :param clip: largest absolute value
    :param normalized: gets the numbers, (batch, features) float32
    """
    for row in range(len(observations)):
        for column in range(len(mean)):
            x = (observations[row, column] - mean[column]) / deviation[column]
            x = clip if x > clip else x
            normalized[row, column] = -clip if x < -clip else x


@intrinsic
def _look(_: Any, counts: Any, place: Any) -> Any:
    """Read a count from memory each time anew: other threads write it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(builder.gep(array.data, [arguments[1]]), "acquire", 8)

    return types.int64(counts, place), generate


@compiled
def watch(counts: NDArray[np.int64], place: int, seen: int, looks: int) -> int:
    """Look at a count until it is another one, or for so long.

    :param counts: which other threads change
    :param place: of the count
    :param seen: what it is
    :param looks: how often at most
    :return: how often
    """
    made = 0
    while made < looks and _look(counts, place) == seen:  # type: ignore[call-arg]  # the first one is Numba's
        made += 1
    return made


def is_compiled(machine_code: Any = update) -> bool:
    """Say whether a function's machine code lies on the disk, or is in this process already.

    :param machine_code: one of this file
    """
    folder, function = machine_code.stats.cache_path, machine_code.py_func
    version = f"py{sys.version_info[0]}{sys.version_info[1]}"
    name = f"kernels.{function.__name__}-{function.__code__.co_firstlineno}.{version}*.nbi"
    kept = folder is not None and any(Path(folder).glob(name))
    return kept or bool(machine_code.signatures)
