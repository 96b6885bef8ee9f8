"""From an environment id and settings to the vectorised envs of a training or an evaluation."""

import operator
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ddpg_custom.action_bounds import bounded_env
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.advice import FirstSteps, TimedVecEnv
from sb3_ddpg_custom.cli.environments.filming import FilmLook
from sb3_ddpg_custom.cli.environments.kinds import VecEnvKind
from sb3_ddpg_custom.cli.environments.monitors import closed_on_error, monitored
from sb3_ddpg_custom.cli.environments.registry import make_env
from sb3_ddpg_custom.cli.environments.single import TrainingEnv
from sb3_ddpg_custom.cli.environments.wrapping import wrap
from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.wrappers import EpisodeRecorder, EpisodeReplayer, RenderError
from sb3_ddpg_custom.wrappers.box2d_world import renew_world
from sb3_ddpg_custom.wrappers.schedule import EpisodeSchedule

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


def training_envs(
    env_id: str,
    settings: Settings,
    folder: Path,
    *,
    video: EpisodeSchedule,
    look: FilmLook,
    render: bool,
    on_render_error: Callable[[RenderError], None],
    q_value: Callable[[Any], float | None] | None = None,
    seed: int,
    vec_env: VecEnvKind = "dummy",
    imports: tuple[str, ...] = (),
    advise: Callable[[str], None],
    goes_on: bool = False,
) -> "VecEnv":
    """Make the envs to train on, with their monitors.

    :param env_id: registered id
    :param settings: for everything about envs
    :param folder: the run's folder; gets ``rewards.npz``, ``*.monitor.csv`` and ``videos/``
    :param video: which episodes of the first env to record
    :param look: of the films
    :param render: show the env in a window, for which there may be one only
    :param on_render_error: called once if a film cannot go on; the training does
    :param q_value: gives Q of an action of the first env, for films that show it; those of another process cannot
    :param seed: the training's
    :param vec_env: in turn in this process, or each in a process of its own
    :param imports: values of ``--import``, for those processes
    :param advise: is told once, after the first steps, if the other way is quicker
    :param goes_on: the folder's files are an earlier process's, to be continued
    """
    single = TrainingEnv(
        env_id=env_id, settings=settings, folder=folder, video=video, look=look, render=render, goes_on=goes_on
    )
    first_steps = FirstSteps(vec_env, settings.n_envs, advise)

    def make(rank: int) -> gym.Env[Any, Any]:
        env = single.make(rank, single.statistics, on_render_error, q_value)
        made.callback(env.close)
        return env

    # Envs that are left open would write their files at the end of the process, into a folder that may be gone.
    with ExitStack() as made:
        base: VecEnv
        if vec_env == "subproc":
            base = _in_processes(single, imports, seed, on_render_error, first_steps)
            made.callback(base.close)
        else:
            makers: list[Callable[[], gym.Env[Any, Any]]] = [partial(make, rank) for rank in range(settings.n_envs)]
            base = DummyVecEnv(makers) if settings.n_envs == 1 else TimedVecEnv(makers, first_steps)
        envs = _wrapped(base, settings, normalizer(settings, training=True))
        made.pop_all()
    return envs


def _in_processes(
    single: TrainingEnv,
    imports: tuple[str, ...],
    seed: int,
    on_render_error: Callable[[RenderError], None],
    first_steps: FirstSteps,
) -> "VecEnv":
    from sb3_ddpg_custom.cli.environments.processes.order import orders
    from sb3_ddpg_custom.cli.environments.processes.vec_env import ProcessVecEnv

    n_envs = single.settings.n_envs
    packed = orders(single, n_envs, imports=imports, seed=seed)
    recorder = EpisodeRecorder(single.statistics, n_envs, existing="continue" if single.goes_on else "refuse")
    return ProcessVecEnv(packed, recorder, on_render_error=on_render_error, first_steps=first_steps)


def evaluation_envs(
    env_id: str,
    settings: Settings,
    episode_seeds: Sequence[int],
    *,
    n_envs: int,
    most_steps: int | None,
    video: Path | None = None,
    film_name: str = "episode",
    look: FilmLook = FilmLook(),  # noqa: B008  # it cannot change
    q_value: Callable[[Any], float | None] | None = None,
    render: bool = False,
    normalize: "Callable[[VecEnv], VecEnv] | None" = None,
    replayable: bool = False,
) -> "VecEnv":
    """Make envs that play one episode per seed, seeds dealt out in turn.

    :param env_id: registered id
    :param settings: for everything about envs
    :param episode_seeds: one per episode
    :param n_envs: how many envs play side by side
    :param most_steps: an episode is cut after so many steps; None where the env's own limit is enough
    :param video: folder for videos of all episodes
    :param film_name: how their names begin
    :param look: of the videos
    :param q_value: gives Q of an action, for videos that show it; for a single env
    :param render: show the env in a window
    :param normalize: puts the training's normalisation around the envs
    :param replayable: what their wrappers keep can be brought back
    """

    def make(rank: int) -> gym.Env[Any, Any]:
        mode = "human" if render else "rgb_array" if video is not None else None
        env: gym.Env[Any, Any] = SeededEpisodes(make_env(env_id, settings, mode), episode_seeds[rank::n_envs])
        with closed_on_error(env):
            if video is not None:
                schedule = partial(operator.gt, len(episode_seeds))
                env = look.filming(env, video, q_value=q_value, name=film_name, schedule=schedule)
            env = monitored(env, settings, most_steps=most_steps)
            env = EpisodeReplayer(env) if replayable else env
        made.callback(env.close)
        return env

    with ExitStack() as made:
        envs = _wrapped(DummyVecEnv([partial(make, rank) for rank in range(n_envs)]), settings, normalize)
        made.pop_all()
    return envs


def normalizer(settings: Settings, *, training: bool) -> "Callable[[VecEnv], VecEnv] | None":
    """Give the function that puts SB3's ``VecNormalize`` around envs, or None where the settings want none.

    :param settings: ``normalize`` and ``gamma``
    :param training: learn statistics and scale rewards, or do neither
    """
    if not settings.normalize:
        return None
    from stable_baselines3.common.vec_env import VecNormalize

    frozen = {} if training else {"training": False, "norm_reward": False}
    kwargs = {"gamma": settings.gamma, **settings.normalize, **frozen}

    def normalize(env: "VecEnv") -> "VecEnv":
        try:
            return VecNormalize(env, **kwargs)
        except (TypeError, ValueError, AssertionError) as error:
            raise UsageError(
                f"normalize does not fit observations in {one_line(env.observation_space)} ({one_line(error)}); "
                "name the parts that are a Box in normalize.norm_obs_keys, or set normalize=false"
            ) from error

    return normalize


class SeededEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Begin each episode with the next seed of a list; behind its end, as the env likes.

    A VecEnv resets its envs by itself and then without a seed, so the seeds have to sit inside.
    """

    def __init__(self, env: gym.Env[Any, Any], seeds: Sequence[int]) -> None:
        super().__init__(env)
        self._seeds = seeds
        self._episode = 0

    def restart(self) -> None:
        """Go back to the first seed."""
        self._episode = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin the next episode, with its seed instead of ``seed``."""
        if self._episode < len(self._seeds):
            seed = self._seeds[self._episode]
        self._episode += 1
        renew_world(self)
        return self.env.reset(seed=seed, options=options)


def _wrapped(env: Any, settings: Settings, normalize: "Callable[[VecEnv], VecEnv] | None") -> "VecEnv":
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.common.vec_env import VecFrameStack

    env = wrap(env, settings.vec_env_wrapper, "vec_env_wrapper")
    if settings.frame_stack is not None:
        env = VecFrameStack(env, settings.frame_stack)
    if normalize is not None:
        # Outermost: SB3's off-policy algorithms store what VecNormalize saw, and rl_zoo3's order would leave them
        # with single frames in a buffer for stacked ones.
        env = normalize(env)
    # Images go channel-first, as every SB3 algorithm does with its own env.
    wrapped: VecEnv = bounded_env(OffPolicyAlgorithm._wrap_env(env), settings.action_bounds)
    return wrapped
