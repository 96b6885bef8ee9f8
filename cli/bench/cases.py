"""What `ddpg bench` trains on."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

from sb3_ddpg_custom.cli.errors import UsageError


class Case(NamedTuple):
    """An environment and a network.

    :param env_id: registered with Gymnasium
    :param batch_size: transitions per update
    :param net_arch: widths of the hidden layers, of actor and critic alike
    :param observation_dim: numbers in one observation
    :param action_dim: numbers in one action
    :param needs: module without which the environment cannot be made, None if there is none
    """

    env_id: str
    batch_size: int
    net_arch: tuple[int, ...]
    observation_dim: int
    action_dim: int
    needs: str | None = None

    def __str__(self) -> str:
        return f"{self.env_id}, batch {self.batch_size}, net {list(self.net_arch)}"


CASES = {
    "C1": Case("Pendulum-v1", 64, (64, 64), observation_dim=3, action_dim=1),
    "C2": Case("Pendulum-v1", 128, (400, 300), observation_dim=3, action_dim=1),
    "C3": Case("HalfCheetah-v5", 256, (400, 300), observation_dim=17, action_dim=6, needs="mujoco"),
}


def is_available(name: str) -> bool:
    """Tell whether a case's environment can be made here.

    :param name: one of ``CASES``
    """
    needs = CASES[name].needs
    return needs is None or find_spec(needs) is not None


def how_to_get(name: str) -> str:
    """Say in one line what a case that is not available lacks.

    :param name: one of ``CASES``
    """
    case = CASES[name]
    return f"{name} ({case.env_id}) needs {case.needs}: pip install 'sb3-ddpg-custom[{case.needs}]'"


def check_cases(names: Sequence[str]) -> list[str]:
    """Bring names of cases into capitals, each once.

    :param names: as the user wrote them
    :raises UsageError: if there is no such case, or it is not available here
    """
    checked = list(dict.fromkeys(name.upper() for name in names))
    for name in checked:
        if name not in CASES:
            raise UsageError(f"--case {name} does not exist; choose from {', '.join(CASES)}")
        if not is_available(name):
            raise UsageError(how_to_get(name))
    return checked
