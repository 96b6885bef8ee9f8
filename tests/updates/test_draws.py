"""Transitions that the compiled update reads where they lie: what a gathered batch would have said."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import make_model
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ddpg_custom import ReplayBuffer
from sb3_ddpg_custom.updates.divergence import NonFiniteUpdateError

pytest.importorskip("numba", reason="the numba extra is not installed")

from sb3_ddpg_custom.updates.compiled import kernels

BOX = spaces.Box(-1, 1, (1,), np.float32)


def filled(transitions: list[tuple[float, float, bool, bool]], size: int = 8, **options: Any) -> ReplayBuffer:
    """Fill a buffer with (s, r, ended, by time limit), in one env; s' is s + 0.5, and the action s / 2."""
    buffer = ReplayBuffer(size, BOX, BOX, device="cpu", **options)
    for s, reward, ended, by_limit in transitions:
        now, later, action = np.array([[s]]), np.array([[s + 0.5]]), np.array([[s / 2]])
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": True}] if by_limit else [{}]
        buffer.add(now, later, action, np.array([reward]), np.array([ended]), infos)
    return buffer


def read(buffer: ReplayBuffer, indices: list[int], gamma: float = 0.5) -> dict[str, list[Any]]:
    fields = buffer.records
    arrays: Any = [fields[name].reshape(len(fields), -1) for name in ("observations", "actions", "next_observations")]
    flat: Any = [fields[name] for name in ("rewards", "dones", "timeouts")]
    n = len(indices)
    values = np.zeros(n, np.float32), np.zeros(2 * n, np.float32), np.zeros(n, np.float32), np.zeros(2 * n, np.float32)
    numbers = np.zeros((5, n), np.float32)
    powers = np.float32(gamma) ** np.arange(buffer.n_steps + 1, dtype=np.float32)
    ring = 1, (buffer.pos - 1) % buffer.buffer_size
    assert kernels.gather(np.array(indices), (*arrays, *flat), ring, powers, values, numbers, 10)
    s, s_a, next_s, next_s_a = (array.tolist() for array in values)
    return {"s": s, "s_a": s_a, "next_s": next_s, "next_s_a": next_s_a, "numbers": numbers[:3].tolist()}


def test_one_step_by_hand() -> None:
    buffer = filled([(0.0, 1.0, False, False), (0.25, 2.0, True, False), (0.5, 3.0, True, True)])
    found = read(buffer, [2, 0, 1])
    assert found["s"] == [0.5, 0.0, 0.25]
    assert found["s_a"] == [0.5, 0.25, 0.0, 0.0, 0.25, 0.125]
    assert found["next_s"] == [1.0, 0.5, 0.75]
    assert found["next_s_a"] == [1.0, 0.0, 0.5, 0.0, 0.75, 0.0]  # room for the target's action
    # r; γ, but 0 where the task itself ended; 2 / 10
    assert found["numbers"] == [[3, 1, 2], [0.5, 0.5, 0], [pytest.approx(0.2)] * 3]


def test_three_steps_by_hand() -> None:
    rows = [(0.0, 1.0, False, False), (0.5, 2.0, False, False), (1.0, 4.0, False, False), (1.5, 8.0, True, False)]
    rows += [(2.0, 1.0, False, False), (2.5, 2.0, True, True), (3.0, 5.0, False, False)]
    buffer = filled(rows, n_steps=3, gamma=0.5)
    found = read(buffer, [0, 2, 4, 6])
    # 1 + 2/2 + 4/4; 4 + 8/2 and the end; 1 + 2/2 and the time limit; 5, and nothing behind it yet
    assert found["numbers"][0] == [3, 8, 2, 5]
    assert found["numbers"][1] == [0.125, 0, 0.25, 0.5]
    assert found["next_s"] == [1.5, 2.0, 3.0, 3.5]


def test_a_number_beyond_the_records_reads_nothing() -> None:
    buffer = filled([(0.0, 1.0, False, False)])
    for number in (8, -1, 10**12):
        with pytest.raises(AssertionError):
            read(buffer, [number])
    m: Any = make_model().learn(40)
    draw = next(m.replay_buffer.draws(1, 16))
    with pytest.raises(IndexError, match="none of the buffer's"):
        m._update.step(draw._replace(indices=np.full(16, 10**7)), 0.99)


@pytest.mark.parametrize("n_steps", [1, 3, 9])
@pytest.mark.parametrize(("n_envs", "steps"), [(1, 90), (3, 90), (2, 700)])  # the last ones go round the ring
def test_the_same_draws_give_the_gathered_numbers(n_steps: int, n_envs: int, steps: int) -> None:
    env = make_vec_env(lambda: gym.make("Pendulum-v1", max_episode_steps=23), n_envs)
    m: Any = make_model(env, n_steps=n_steps, buffer_size=400, batch_size=130).learn(steps)
    buffer, gamma = m.replay_buffer, m.gamma
    state = np.random.get_state()
    batch = buffer.sample(130)
    np.random.set_state(state)
    m._update.step(next(buffer.draws(1, 130)), gamma)
    (part,) = m._update._memory._parts
    np.testing.assert_array_equal(part.values[0][: 130 * 3].reshape(130, 3), batch.observations.numpy())
    np.testing.assert_array_equal(part.values[2][: 130 * 3].reshape(130, 3), batch.next_observations.numpy())
    discounts = np.full((130, 1), gamma, np.float32) if batch.discounts is None else batch.discounts.numpy()
    found, expected = part.numbers[:2], (batch.rewards[:, 0].numpy(), (discounts * (1 - batch.dones.numpy()))[:, 0])
    if n_steps < 8:  # from there on NumPy adds up in another order
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"n_steps": 3}, {"gradient_steps": 4}, {"gamma": 0.9}])
def test_a_training_on_draws_is_one_on_batches(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = make_model(learning_rate=1e-4, **options).learn(70)
    monkeypatch.setattr(ReplayBuffer, "draws", lambda *_: None)
    gathered = make_model(learning_rate=1e-4, **options).learn(70)
    for a, b in zip(drawn.policy.state_dict().values(), gathered.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)


class OwnSamples(ReplayBuffer):
    def _get_samples(self, batch_inds: Any, env: Any = None) -> Any:
        return super()._get_samples(batch_inds, env)


def test_only_plain_transitions_are_left_where_they_lie() -> None:
    def draws(space: spaces.Space[Any] = BOX, kind: type[ReplayBuffer] = ReplayBuffer, **options: Any) -> Any:
        buffer = kind(8, space, BOX, device="cpu", **options)
        buffer.pos = 3
        return buffer.draws(2, 4)

    assert [len(draw.indices) for draw in draws()] == [4, 4]
    assert draws(n_steps=2) is not None
    assert draws(optimize_memory_usage=True) is None
    assert draws(priority_exponent=0.5) is None
    assert draws(spaces.Dict({"a": BOX})) is None
    assert draws(spaces.Box(-1, 1, (1,), np.float16)) is None
    assert draws(kind=OwnSamples) is None
    normalized = VecNormalize(make_vec_env("Pendulum-v1"))
    assert filled([(0.0, 1.0, False, False)]).draws(1, 4, normalized) is None
    with pytest.raises(ValueError, match="empty"):
        ReplayBuffer(8, BOX, BOX, device="cpu").draws(1, 4)
    assert make_model(policy_kwargs={"normalize_observations": True})._updates.by_hand.takes_draws is False


def test_a_batch_that_ends_a_training_is_named_all_the_same() -> None:
    m: Any = make_model()
    m.stops_at_non_finite = True
    m.learn(40)
    m.replay_buffer.rewards[:] = np.nan
    with pytest.raises(NonFiniteUpdateError, match="reward") as error:
        m.train(1, 16)
    assert np.isnan(error.value.batch["rewards"]).all()
    assert error.value.batch["observations"].shape == (16, 3)
