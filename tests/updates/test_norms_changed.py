"""What a script changes about a layer norm is what trains: the fast ways notice, and make room."""

from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import make_model
from helpers.ways_to_update import BY_HAND
from torch import nn

pytestmark = pytest.mark.usefixtures("float64_networks")


def norms(m: Any) -> tuple[Any, Any]:
    return m.actor.mu[1], m.critic.qf0[4]


def other_epsilon(m: Any) -> None:
    for network in (m.policy.critic, m.policy.critic_target):
        network.qf0[1].eps = 0.3


def no_scale(m: Any) -> None:
    for network in (m.policy.critic, m.policy.critic_target):
        network.qf0[1] = nn.LayerNorm(8, elementwise_affine=False).double()


def no_shift(m: Any) -> None:
    for network in (m.policy.critic, m.policy.critic_target):
        network.qf0[1].bias = None


def frozen(m: Any) -> None:
    norms(m)[0].weight.requires_grad_(False)


def replaced(m: Any) -> None:
    m.actor.mu[1] = nn.LayerNorm(8).double()


def taken_away(m: Any) -> None:
    for network in (m.actor, m.actor_target):
        network.mu[1] = nn.Identity()


class Doubled(nn.LayerNorm):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return 2 * super().forward(x)


def of_another_class(m: Any) -> None:
    m.critic.qf0[1].__class__ = Doubled


def with_a_forward(m: Any) -> None:
    norm = norms(m)[0]
    norm.forward = lambda x: 0.5 * x


def hooked(m: Any) -> None:
    norms(m)[1].register_forward_hook(lambda module, x, y: 0.5 * y)


def written(m: Any) -> None:
    with th.no_grad():
        norms(m)[0].weight.fill_(0.5)
        norms(m)[1].bias.fill_(0.5)


def rebound(m: Any) -> None:
    for norm in norms(m):
        norm.bias.data = norm.bias.data + 0.5


def epsilon_of_a_target(m: Any) -> None:
    m.policy.actor_target.mu[1].eps = 0.5


def nothing(m: Any) -> None:
    """Leave it as it is."""


CHANGES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "nothing": (nothing, ("compiled", "analytic")),
    "another ε": (other_epsilon, ("analytic",)),
    "another ε of a target": (epsilon_of_a_target, ("analytic",)),
    "no scale and shift": (no_scale, ("autograd",)),
    "no shift": (no_shift, ("autograd",)),
    "frozen": (frozen, ("autograd",)),
    "replaced": (replaced, ("autograd",)),
    "taken away": (taken_away, ("autograd",)),
    "a subclass": (of_another_class, ("autograd",)),
    "a forward of its own": (with_a_forward, ("autograd",)),
    "a hook": (hooked, ("autograd",)),
    "written to": (written, ("compiled", "analytic")),
    "rebound": (rebound, ("compiled", "analytic")),
}


def changed(update: str, change: Any, *, in_learn: bool) -> Any:
    m = make_model(
        update=update,
        policy_kwargs={"net_arch": [8, 6], "layer_norm": "both"},
        learning_starts=10,
        batch_size=8,
        buffer_size=100,
    )
    m.policy.double()
    m.learn(16)
    change(m)
    if in_learn:
        m.learn(12, reset_num_timesteps=False)
    else:
        for _ in range(6):
            m.train(1, 8)
    return m


@pytest.mark.parametrize("in_learn", [True, False])
@pytest.mark.parametrize("name", CHANGES)
@BY_HAND
def test_what_a_script_changes_is_noticed(update: str, name: str, in_learn: bool) -> None:
    change, ways = CHANGES[name]
    ours, reference = (changed(way, change, in_learn=in_learn) for way in (update, "autograd"))
    expected = update if update in ways else ways[0]
    assert ours._update.name == expected
    for a, b in zip(ours.policy.state_dict().values(), reference.policy.state_dict().values(), strict=True):
        th.testing.assert_close(a, b, rtol=1e-8, atol=1e-8)
    played, as_autograd = (m.replay_buffer.actions[: m.replay_buffer.pos] for m in (ours, reference))
    np.testing.assert_allclose(played, as_autograd, rtol=1e-6, atol=1e-6)
