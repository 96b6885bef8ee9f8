"""Exploration noise that Stable-Baselines3 lacks: noise whose scale follows the training, or differs between envs.

SB3 calls a noise without arguments, so a noise that depends on the training's progress has to be told:
``DDPG`` calls :meth:`ProgressNoise.set_progress` before each action. Another algorithm can do the same from a callback.
All values are in the normalised action space [-1, 1]: 0.1 is 0.2 N·m on Pendulum, whose torque ends at 2 N·m.
"""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise


class ProgressNoise(ActionNoise):
    """Noise that is told how far the training is."""

    @abstractmethod
    def set_progress(self, progress_remaining: float, episode: int) -> None:
        """Take notice of the training's progress.

        :param progress_remaining: 1 at the start of the training, 0 at its end
        :param episode: number of episodes finished so far, over all envs
        """


class ScaledActionNoise(ProgressNoise):
    """Another noise, times a scale that ``set_progress`` moves.

    :param noise: the noise at scale 1, for example SB3's ``NormalActionNoise``
    """

    def __init__(self, noise: ActionNoise) -> None:
        super().__init__()
        self.noise = noise
        self.scale = 1.0

    def __call__(self) -> NDArray[np.floating]:
        """Draw from the noise and scale it."""
        noise: NDArray[np.floating] = self.noise()
        return np.asarray(self.scale * noise, dtype=noise.dtype)

    def reset(self) -> None:
        """Begin a new episode."""
        self.noise.reset()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.noise!r}, scale={self.scale})"


class AnnealedActionNoise(ScaledActionNoise):
    """Noise that shrinks linearly with the remaining training steps, from its full size to nothing.

    >>> import numpy as np
    >>> from stable_baselines3.common.noise import NormalActionNoise
    >>> noise = AnnealedActionNoise(NormalActionNoise(np.zeros(1), 0.2 * np.ones(1)))
    >>> noise.set_progress(0.25, episode=7)
    >>> noise.scale
    0.25

    :param noise: noise at the start of the training
    """

    def set_progress(self, progress_remaining: float, episode: int) -> None:  # noqa: ARG002
        """Move the scale; see :meth:`ProgressNoise.set_progress`."""
        # Several envs step at once, so the last step can end behind the training's total.
        self.scale = max(progress_remaining, 0.0)


class EpisodeScaledActionNoise(ScaledActionNoise):
    """Noise whose scale is 1 / (1 + episode): the schedule of the notes.

    >>> import numpy as np
    >>> from stable_baselines3.common.noise import NormalActionNoise
    >>> noise = EpisodeScaledActionNoise(NormalActionNoise(np.zeros(1), np.ones(1)))
    >>> noise.set_progress(0.9, episode=3)
    >>> noise.scale
    0.25

    :param noise: noise of the first episode (number 0)
    """

    def set_progress(self, progress_remaining: float, episode: int) -> None:  # noqa: ARG002
        """Move the scale; see :meth:`ProgressNoise.set_progress`."""
        self.scale = 1.0 / (1.0 + episode)


class EpisodeBias(EpisodeScaledActionNoise):
    """Constant push of bias / (1 + episode) on every action: what the notes did literally.

    It is no noise: it is deterministic and pushes every action component upwards. Offered to reproduce the notes.

    >>> push = EpisodeBias(action_dim=1, bias=0.5)
    >>> push.set_progress(0.9, episode=4)
    >>> push()
    array([0.1], dtype=float32)

    :param action_dim: number of action components, or the action space's shape
    :param bias: push during the first episode
    """

    def __init__(self, action_dim: int | tuple[int, ...], bias: float = 1.0) -> None:
        super().__init__(_Constant(np.full(action_dim, bias, dtype=np.float32)))


class _Constant(ActionNoise):
    def __init__(self, value: NDArray[np.float32]) -> None:
        super().__init__()
        self.value = value

    def __call__(self) -> NDArray[np.float32]:
        return self.value

    def __repr__(self) -> str:
        return f"constant {self.value}"


class PerEnvActionNoise(VectorizedActionNoise):
    """Noise for several envs, each with a scale of its own: the first explores least, the last most.

    So one replay buffer sees careful and bold behaviour at the same time. The scales are spaced geometrically, because
    what counts is their ratio, and so that as many envs stay close to the policy as roam::

        scale_i = low · (high / low)^(i / (n_envs - 1))

    Ape-X spaces its actors' ε this way (Horgan et al. 2018, arXiv 1803.00933, section 4.1). A single env gets the
    middle of that scale, √(low · high).

    >>> import numpy as np
    >>> from stable_baselines3.common.noise import NormalActionNoise
    >>> noise = PerEnvActionNoise(NormalActionNoise(np.zeros(2), np.ones(2)), n_envs=3, low=0.1, high=0.4)
    >>> noise.scales.round(6)
    array([0.1, 0.2, 0.4])
    >>> noise().shape
    (3, 2)

    :param base_noise: the noise at scale 1; each env gets a copy
    :param n_envs: envs side by side; ``DDPG.learn`` makes it fit where a model goes on with another number of envs
    :param low: scale of env 0, above 0, in the normalised [-1, 1] action space if ``base_noise`` has standard
        deviation 1
    :param high: scale of the last env, at least ``low``
    :raises ValueError: if low and high are no such range
    """

    def __init__(self, base_noise: ActionNoise, n_envs: int, *, low: float, high: float) -> None:
        if not 0 < low <= high < np.inf:
            raise ValueError(f"low={low} and high={high} are no range of scales: choose 0 < low <= high")
        super().__init__(base_noise, n_envs)
        self.low = low
        self.high = high
        self.scales: NDArray[np.float64] = np.geomspace(low, high, n_envs) if n_envs > 1 else np.sqrt([low * high])

    def __call__(self) -> NDArray[np.floating]:
        """Draw for each env.

        :return: (n_envs, *shape of an action)
        """
        return self.scaled(super().__call__())

    def scaled(self, noise: NDArray[np.floating]) -> NDArray[np.floating]:
        """Give each env its scale.

        :param noise: the envs' noise at scale 1, (n_envs, *shape of an action)
        """
        scales = self.scales.reshape(-1, *[1] * (noise.ndim - 1))
        return np.asarray(scales * noise, dtype=noise.dtype)

    def for_envs(self, n_envs: int) -> "PerEnvActionNoise":
        """Spread the same range over another number of envs."""
        return PerEnvActionNoise(self.base_noise, n_envs, low=self.low, high=self.high)

    def __repr__(self) -> str:
        return f"PerEnvActionNoise({self.base_noise!r}, n_envs={self.n_envs}, low={self.low}, high={self.high})"


def fit_to_envs(noise: ActionNoise | None, n_envs: int) -> ActionNoise | None:
    """Make a noise for several envs fit their number, which may have changed since a model was saved.

    SB3 turns the noise of one env into that of several when training begins, and saves the latter: with another number
    of envs it would then stop at a broadcast, or give all envs the same noise. Nothing is lost by beginning anew: SB3
    resets the noise at each ``learn`` anyway.

    :param noise: any SB3 action noise, or None
    :param n_envs: envs side by side
    :return: ``noise`` itself where it fits
    :raises ValueError: if it is of a class that is not known here
    """
    if not isinstance(noise, VectorizedActionNoise) or noise.n_envs == n_envs:
        return noise
    if isinstance(noise, PerEnvActionNoise):
        return noise.for_envs(n_envs)
    if type(noise) is VectorizedActionNoise:
        return VectorizedActionNoise(noise.base_noise, n_envs)
    raise ValueError(
        f"action_noise is a {type(noise).__name__} for {noise.n_envs} envs, but there are {n_envs}: "
        "set model.action_noise to one that fits"
    )


def wants_progress(noise: ActionNoise | None) -> bool:
    """Say whether a noise, or one of the copies that several envs have, must be told how far the training is.

    :param noise: any SB3 action noise, or None
    """
    # Asking an abstract class about every env's noise costs more than setting a scale.
    if isinstance(noise, VectorizedActionNoise):
        return any(ProgressNoise in kind.__mro__ for kind in {type(one) for one in noise.noises})
    return ProgressNoise in type(noise).__mro__


def report_progress(noise: ActionNoise | None, progress_remaining: float, episode: int) -> None:
    """Tell a noise how far the training is, where it wants to know; also each copy that several envs have.

    :param noise: any SB3 action noise, or None
    :param progress_remaining: 1 at the start of the training, 0 at its end
    :param episode: number of episodes finished so far, over all envs
    """
    if not wants_progress(noise):
        return
    for one in noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]:
        if isinstance(one, ProgressNoise):
            one.set_progress(progress_remaining, episode)
