"""Q of what is being done, for films that show it."""

from collections.abc import Callable
from typing import Any


class QReadout:
    """Tells Q of an action in the state that the first env was in; nothing is computed until somebody asks.

    Films are made by envs, which are made before the policy: they get this, and it gets the policy later.
    """

    def __init__(self) -> None:
        self._policy: Any = None
        self._observations: Callable[[], Any] = lambda: None

    def follow(self, policy: Any, observations: Callable[[], Any]) -> None:
        """Say whose Q it is.

        :param policy: of SB3's kind, with a critic; one without tells nothing
        :param observations: gives the envs' observations as the policy gets them, a batch
        """
        self._policy, self._observations = policy, observations

    def playing(self, player: Any) -> "_Followed":
        """Give a player that plays the same, and whose Q this tells.

        :param player: an algorithm or a policy
        """
        followed = _Followed(player)
        self.follow(getattr(player, "policy", player), lambda: followed.observations)
        return followed

    def __call__(self, action: Any) -> float | None:
        """Compute Q, in the units of the rewards that the training saw.

        :param action: the first env's, in its own units
        :return: None where there is no critic or no state
        """
        observations = self._observations()
        if observations is None or getattr(self._policy, "critic", None) is None:
            return None
        import numpy as np
        import torch as th

        if isinstance(observations, dict):
            first = {key: value[:1] for key, value in observations.items()}
        else:
            first = observations[:1]
        with th.no_grad():
            seen, _ = self._policy.obs_to_tensor(first)
            scaled = self._policy.scale_action(np.asarray(action, np.float32))[None]
            actions = th.as_tensor(scaled, dtype=th.float32, device=self._policy.device).flatten(1)
            return float(self._policy.critic.q1_forward(seen, actions)[0, 0])


class _Followed:
    """Plays as another does, and keeps the observations."""

    def __init__(self, player: Any) -> None:
        self._player = player
        self.observations: Any = None

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[Any, Any]:
        """Choose actions; see SB3's ``BasePolicy.predict``."""
        self.observations = observation
        answer: tuple[Any, Any] = self._player.predict(observation, deterministic=deterministic)
        return answer
