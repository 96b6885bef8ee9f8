"""Many envs side by side: our DDPG and SB3's in turns, and where an env step's time goes.

python benchmarks/many_envs.py --env Pendulum-v1
python benchmarks/many_envs.py --env HalfCheetah-v5 --updates 1

EnvPool takes part where it is installed (--kind envpool). Networks and batches are those of `ddpg bench`.
"""

import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch as th
import typer
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecMonitor

from sb3_ddpg_custom import DDPG, ParameterNoise
from sb3_ddpg_custom.cli.bench.cases import CASES, Case
from sb3_ddpg_custom.envpool_envs import EnvPoolVecEnv


class Kind(StrEnum):
    """How envs run side by side."""

    DUMMY = "dummy"
    SUBPROC = "subproc"
    ENVPOOL = "envpool"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Microseconds per env step: in the envs, in ``train()``, and in everything else."""

    envs: float
    updating: float
    collecting: float

    @property
    def steps_per_second(self) -> float:
        """Env steps, all envs together."""
        return 1e6 / (self.envs + self.updating + self.collecting)


class Contender:
    """A model in training whose time is measured by parts.

    :param algorithm: SB3's DDPG or ours
    :param env: envs of its own
    :param case: for network and batch
    :param updates: gradient steps per step of all envs
    :param clock: answers the time in seconds
    :param options: keywords beside those that all share
    """

    def __init__(
        self,
        algorithm: type[Any],
        env: VecEnv,
        case: Case,
        updates: int,
        *,
        clock: Callable[[], float],
        **options: Any,
    ) -> None:
        self.env = env
        self._clock = clock
        self._spent = {"envs": 0.0, "updating": 0.0}
        self.model = algorithm(
            "MlpPolicy",
            env,
            buffer_size=200_000,
            learning_starts=100,
            batch_size=case.batch_size,
            gradient_steps=updates,
            action_noise=NormalActionNoise(np.zeros(case.action_dim), 0.1 * np.ones(case.action_dim)),
            policy_kwargs={"net_arch": list(case.net_arch)},
            seed=0,
            device="cpu",
            **options,
        )
        self.model.set_logger(Logger(None, []))
        self.model.train = self._timed("updating", self.model.train)
        self.model.env.step = self._timed("envs", self.model.env.step)
        self.iterations = 1
        self.take(100 // env.num_envs + 3)  # past the warm-up, into what is made at the first update

    def _timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = self._clock()
            try:
                return call(*args, **kwargs)
            finally:
                self._spent[part] += self._clock() - began

        return timed

    def take(self, iterations: int) -> Timing:
        """Train on.

        :param iterations: steps of all envs
        """
        self._spent = dict.fromkeys(self._spent, 0.0)
        steps = iterations * self.env.num_envs
        began = self._clock()
        self.model.learn(steps, reset_num_timesteps=False)
        total = self._clock() - began
        parts = {name: 1e6 * seconds / steps for name, seconds in self._spent.items()}
        return Timing(**parts, collecting=1e6 * total / steps - sum(parts.values()))

    def calibrate(self, seconds: float) -> None:
        """Find out how many steps take so long."""
        per_iteration = self.env.num_envs / self.take(3).steps_per_second
        self.iterations = max(1, round(seconds / per_iteration))


def make_envs(kind: Kind, env_id: str, n_envs: int) -> VecEnv:
    """Make envs with SB3's monitor."""
    if kind is Kind.ENVPOOL:
        return VecMonitor(EnvPoolVecEnv(env_id, n_envs))
    envs = [partial(gym.make, env_id) for _ in range(n_envs)]
    if kind is Kind.DUMMY:
        return VecMonitor(DummyVecEnv(envs))
    # A fork has its imports already; otherwise each process spends seconds on torch before the first step.
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    return VecMonitor(SubprocVecEnv(envs, start_method="fork" if can_fork else None))


def compare(contenders: dict[str, Contender], *, rounds: int, seconds: float) -> dict[str, Timing]:
    """Let contenders train in turns; each one's median turn."""
    for one in contenders.values():
        one.calibrate(seconds)
    taken: dict[str, list[Timing]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in sorted(contenders, reverse=bool(number % 2)):
            taken[name].append(contenders[name].take(contenders[name].iterations))
    return {name: sorted(all_, key=lambda one: one.steps_per_second)[rounds // 2] for name, all_ in taken.items()}


def main(
    env: Annotated[str, typer.Option(help="Pendulum-v1 or HalfCheetah-v5.")] = "Pendulum-v1",
    kind: Annotated[list[Kind] | None, typer.Option(help="How envs run; default: all that are here.")] = None,
    n_envs: Annotated[list[int] | None, typer.Option(min=1, help="Default: 1, 4, 16, 64, 256.")] = None,
    updates: Annotated[int | None, typer.Option(min=1, help="Per step of all envs; default: as many as envs.")] = None,
    parameter_noise: Annotated[bool, typer.Option(help="Ours explores by parameter noise too; SB3 has none.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="The most that subproc starts.")] = 16,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 5,
    seconds: Annotated[float, typer.Option(min=0.01, help="Length of a turn.")] = 0.4,
    cpu_time: Annotated[
        bool, typer.Option(help="Clock this process's CPU time: for --kind dummy on a machine with other work to do.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """Print env steps per second, and microseconds per env step by where they go."""
    th.set_num_threads(1)
    # C1 and C3 of `ddpg bench`
    case = next((case for name, case in CASES.items() if case.env_id == env and name != "C2"), None)
    if case is None:
        raise typer.BadParameter(f"{env!r} is neither Pendulum-v1 nor HalfCheetah-v5", param_hint="--env")
    if cpu_time and kind != [Kind.DUMMY]:
        raise typer.BadParameter("other processes' and threads' time is not this process's: add --kind dummy")
    kinds = kind or [one for one in Kind if one is not Kind.ENVPOOL or find_spec("envpool") is not None]
    table = Table("envs", "kind", "updates", box=None, title=f"{case}; medians of {rounds} turns, one thread")
    for title in (
        "steps/s, ours",
        "SB3's",
        "ratio",
        "µs per step: envs",
        "updating, ours",
        "SB3's",
        "collecting, ours",
    ):
        table.add_column(title, justify="right")
    table.add_column("SB3's", justify="right")
    figures = []
    for one in kinds:
        for count in n_envs or (1, 4, 16, 64, 256):
            if one is Kind.SUBPROC and count > processes:
                continue
            each = updates or count
            shared: dict[str, Any] = {"clock": time.process_time if cpu_time else time.perf_counter}
            own: dict[str, Any] = {"parameter_noise": ParameterNoise()} if parameter_noise else {}
            contenders = {
                name: Contender(algorithm, make_envs(one, env, count), case, each, **shared, **options)
                for name, algorithm, options in (("ours", DDPG, own), ("SB3", stable_baselines3.DDPG, {}))
            }
            timings = compare(contenders, rounds=rounds, seconds=seconds)
            for contender in contenders.values():
                contender.env.close()
            ours, theirs = timings["ours"], timings["SB3"]
            ratio = ours.steps_per_second / theirs.steps_per_second
            cells = (ours.envs, ours.updating, theirs.updating, ours.collecting, theirs.collecting)
            table.add_row(
                str(count),
                one.value,
                str(each),
                f"{ours.steps_per_second:,.0f}",
                f"{theirs.steps_per_second:,.0f}",
                f"{ratio:.2f}",
                *(f"{cell:,.1f}" for cell in cells),
            )
            figures.append(
                {"env": env, "kind": one.value, "n_envs": count, "updates": each, "ratio": ratio}
                | {
                    name: {**asdict(timing), "steps_per_second": timing.steps_per_second}
                    for name, timing in timings.items()
                }
            )
    Console(width=140, highlight=False).print(table)
    if json_file is not None:
        json_file.write_text(json.dumps({"rounds": rounds, "seconds": seconds, "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
