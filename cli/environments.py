"""From an environment id and settings to envs that can be trained on, or one sentence that says why not."""

import importlib
import sys
import timeit
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium as gym
from gymnasium import error as gym_error

from sb3_ddpg_custom.cli.classes import import_class
from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.cli.settings import ClassSpec, Settings
from sb3_ddpg_custom.cli.spaces import check_spaces
from sb3_ddpg_custom.wrappers import StatsMonitor, VideoMonitor
from sb3_ddpg_custom.wrappers.finite_guard import FiniteGuard
from sb3_ddpg_custom.wrappers.schedule import EpisodeSchedule

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

# Gymnasium's own families: which extra of ours brings what they need.
_EXTRAS = {"gymnasium.envs.mujoco": "mujoco", "gymnasium.envs.box2d": "box2d"}


def import_modules(names: Sequence[str]) -> None:
    """Import modules for what they register with Gymnasium.

    :param names: values of ``--import``
    :raises UsageError: if one cannot be imported
    """
    for name in names:
        try:
            with _modules_of_the_current_folder():
                importlib.import_module(name)
        except Exception as error:  # a module may raise anything while it is imported
            problem = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {one_line(error)}"
            shown = name if name.strip() else repr(name)
            raise UsageError(f"--import {shown}: {problem}; name a module that Python finds here") from error


@contextmanager
def _modules_of_the_current_folder() -> Iterator[None]:
    """Find modules in the current folder too, behind all others: what the user names, not what a file names."""
    before = list(sys.path)
    sys.path.append(str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def registered_ids() -> Collection[str]:
    """List the ids that Gymnasium knows now."""
    return gym.registry.keys()


def needed_extra(env_id: str) -> str | None:
    """Name the extra of this package that an env of Gymnasium's own needs, or None."""
    spec = gym.registry.get(env_id)
    entry_point = str(spec.entry_point) if spec is not None else ""
    return next((extra for family, extra in _EXTRAS.items() if entry_point.startswith(family)), None)


def make_env(env_id: str, settings: Settings, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make one env as it comes from its maker.

    :param env_id: registered id
    :param settings: for ``env_kwargs``
    :param render_mode: Gymnasium's
    :raises UsageError: if the env is unknown, lacks a package or refuses its arguments
    """
    # Envs without a renderer need not take the argument.
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    try:
        return gym.make(env_id, **{**settings.env_kwargs, **rendering})
    except (gym_error.DependencyNotInstalled, ImportError) as error:
        extra = needed_extra(env_id)
        remedy = f'pip install "sb3-ddpg-custom[{extra}]"' if extra else "install the package that it needs"
        raise UsageError(f"{env_id} needs a package that is missing ({one_line(error)}); {remedy}") from error
    except gym_error.UnregisteredEnv as error:
        raise UsageError(f"{env_id} is not registered: {one_line(error)}; does its package want --import?") from error
    except TypeError as error:
        raise UsageError(f"{env_id} refuses its env_kwargs {dict(settings.env_kwargs)}: {one_line(error)}") from error
    except Exception as error:  # an env may raise anything while it is made
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise UsageError(
            f"{env_id} cannot be made with env_kwargs {dict(settings.env_kwargs)} ({reason}); correct them, or the env"
        ) from error


def check_trainable(env_id: str, settings: Settings) -> None:
    """Make sure that DDPG can act in an env, as its wrappers leave it.

    :param env_id: registered id
    :param settings: for ``env_kwargs`` and ``env_wrapper``
    :raises UsageError: if its action space is not a bounded Box of floats, or SB3 has no policy for its observations
    """
    env = make_env(env_id, settings)
    try:
        check_spaces(env_id, _wrap(env, settings.env_wrapper, "env_wrapper"))
    finally:
        env.close()


def can_render(
    env_id: str, settings: Settings, mode: str = "rgb_array", *, slow_seconds: float | None = None
) -> str | None:
    """Try to draw.

    :param env_id: registered id
    :param settings: for ``env_kwargs``
    :param mode: ``"rgb_array"`` for images, ``"human"`` for a window
    :param slow_seconds: time per frame that counts as a failure too, None for any time
    :return: None if it worked, else the reason in one line
    """
    env = make_env(env_id, settings)
    modes = env.metadata.get("render_modes") or []
    env.close()
    if mode not in modes:
        what = "show a window" if mode == "human" else "draw images"
        return f"{env_id} cannot {what} (its render modes are {modes})"
    try:
        env = make_env(env_id, settings, mode)
        try:
            env.reset(seed=0)
            env.render()  # opens the renderer
            seconds = min(timeit.repeat(env.render, number=1, repeat=3))
        finally:
            env.close()
    except Exception as error:  # any renderer, any driver
        return f"{env_id} cannot draw here: {one_line(error)}"
    if slow_seconds is not None and seconds > slow_seconds:
        return f"drawing a frame of {env_id} takes {1000 * seconds:.0f} ms here"
    return None


def training_envs(env_id: str, settings: Settings, folder: Path, *, video: EpisodeSchedule, render: bool) -> "VecEnv":
    """Make the envs to train on, with their monitors.

    :param env_id: registered id
    :param settings: for everything about envs
    :param folder: the run's folder; gets ``rewards.npz``, ``*.monitor.csv`` and ``videos/``
    :param video: which episodes of the first env to record
    :param render: show the env in a window, for which there may be one only
    """
    from stable_baselines3.common.monitor import Monitor

    # SB3 wants one render mode in all envs; those that nobody films are never drawn.
    mode = "human" if render else "rgb_array" if video != "none" else None

    def make(rank: int) -> gym.Env[Any, Any]:
        env: gym.Env[Any, Any] = FiniteGuard(make_env(env_id, settings, mode))
        if rank == 0 and video != "none":
            env = VideoMonitor(env, folder / "videos", schedule=video)
        env = StatsMonitor(env, folder / "rewards.npz")
        with _closed_on_error(env):
            env = Monitor(env, str(folder / str(rank)), **settings.monitor_kwargs)
            wrapped: gym.Env[Any, Any] = _wrap(env, settings.env_wrapper, "env_wrapper")
        made.callback(wrapped.close)
        return wrapped

    # Envs that are left open would write their files at the end of the process, into a folder that may be gone.
    with ExitStack() as made:
        envs = _vectorise(make, settings.n_envs, settings, normalizer(settings, training=True))
        made.pop_all()
    return envs


def evaluation_envs(
    env_id: str,
    settings: Settings,
    episode_seeds: Sequence[int],
    *,
    n_envs: int,
    video: Path | None = None,
    render: bool = False,
    normalize: "Callable[[VecEnv], VecEnv] | None" = None,
) -> "VecEnv":
    """Make envs that play one episode per seed, seeds dealt out in turn.

    :param env_id: registered id
    :param settings: for everything about envs
    :param episode_seeds: one per episode
    :param n_envs: how many envs play side by side
    :param video: folder for videos of all episodes
    :param render: show the env in a window
    :param normalize: puts the training's normalisation around the envs
    """
    from stable_baselines3.common.monitor import Monitor

    def make(rank: int) -> gym.Env[Any, Any]:
        mode = "human" if render else "rgb_array" if video is not None else None
        env: gym.Env[Any, Any] = FiniteGuard(make_env(env_id, settings, mode))
        env = SeededEpisodes(env, episode_seeds[rank::n_envs])
        if video is not None:
            env = VideoMonitor(env, video, schedule=lambda episode: episode < len(episode_seeds))
        wrapped: gym.Env[Any, Any] = _wrap(Monitor(env), settings.env_wrapper, "env_wrapper")
        return wrapped

    return _vectorise(make, n_envs, settings, normalize)


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


@contextmanager
def _closed_on_error(env: gym.Env[Any, Any]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        env.close()
        raise


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
        return self.env.reset(seed=seed, options=options)


def _wrap(env: Any, specs: Sequence[ClassSpec], key: str) -> Any:
    for spec in specs:
        wrapper = import_class(spec.name, key)
        if issubclass(wrapper, gym.wrappers.TimeLimit):
            # The monitors sit inside of the wrappers, to count the env's own rewards: they would miss the end.
            raise UsageError(f"{key} {spec.name} ends episodes; set env_kwargs.max_episode_steps instead")
        try:
            env = wrapper(env, **spec.kwargs)
        except (TypeError, ValueError, AssertionError) as error:
            reason = one_line(error) or type(error).__name__
            raise UsageError(f"{key} {spec.name} cannot be put around the environment: {reason}") from error
    return env


def _vectorise(
    make: Callable[[int], gym.Env[Any, Any]],
    n_envs: int,
    settings: Settings,
    normalize: "Callable[[VecEnv], VecEnv] | None",
) -> "VecEnv":
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

    env: VecEnv = DummyVecEnv([partial(make, rank) for rank in range(n_envs)])
    env = _wrap(env, settings.vec_env_wrapper, "vec_env_wrapper")
    if settings.frame_stack is not None:
        env = VecFrameStack(env, settings.frame_stack)
    if normalize is not None:
        # Outermost: SB3's off-policy algorithms store what VecNormalize saw, and rl_zoo3's order would leave them
        # with single frames in a buffer for stacked ones.
        env = normalize(env)
    # Images go channel-first, as every SB3 algorithm does with its own env.
    return OffPolicyAlgorithm._wrap_env(env)
