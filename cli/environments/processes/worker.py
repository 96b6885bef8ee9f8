"""The process of one env: makes it, does what it is told, and ends with the training."""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from types import FrameType
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_ddpg_custom.cli.blame import exits_are_errors, kind_and_reason, reason
from sb3_ddpg_custom.cli.environments.processes.answers import Answer, Took
from sb3_ddpg_custom.cli.environments.processes.failures import Failure
from sb3_ddpg_custom.cli.environments.processes.order import Order
from sb3_ddpg_custom.cli.errors import RunError
from sb3_ddpg_custom.cli.signals import ENDING
from sb3_ddpg_custom.wrappers import RenderError
from sb3_ddpg_custom.wrappers.finished_episodes import FinishedEpisodes


def work(connection: "Connection[Any, Any]", packed: bytes) -> None:
    """Make an env, and serve it until it is to be closed or the training's process is gone.

    :param connection: to the training's process
    :param packed: an :class:`Order`, pickled
    """
    _outlive_signals()
    _end_with_the_training()
    server = None
    while True:
        try:
            with exits_are_errors():
                if server is None:
                    server = EnvServer(pickle.loads(packed))  # noqa: S301  # from the training's process
                    answer = Answer(None)
                else:
                    command, data = _next(connection)
                    answer = server.answer(command, data)
        except Exception as error:  # an env may raise anything
            answer = Answer(Failure.of(error))
        _send(connection, answer)
        if server is None or server.is_closed:
            return


class EnvServer:
    """An env, and what SB3's ``SubprocVecEnv`` may ask of it: each of its commands is a method of that name.

    :param order: what to make
    """

    def __init__(self, order: Order) -> None:
        order.prepare()
        _warn_once(order.rank)
        self.is_closed = False
        self._finished = FinishedEpisodes(order.rank)
        self._undrawn: list[str] = []
        self._env = order.env.make(order.rank, self._finished, self._note_undrawn)
        self._reset_info: dict[str, Any] = {}
        self._may_film = self._env.has_wrapper_attr("is_recording")

    def answer(self, command: str, data: Any) -> Answer:
        """Do what is asked.

        :param command: SB3's word
        :param data: its arguments
        """
        is_filmed = self._may_film and self._env.get_wrapper_attr("is_recording")
        began, began_cpu = time.perf_counter(), time.process_time()
        value = getattr(self, command)(data)
        took = Took(time.perf_counter() - began, time.process_time() - began_cpu, is_filmed)
        finished, undrawn = self._finished.take(), self._undrawn
        self._undrawn = []
        # An episode that is played again has ended before.
        return Answer(value, finished if command == "step" else (), undrawn, took)

    def step(self, action: Any) -> tuple[Any, ...]:
        """Take a step, and begin the next episode where it ends one; as ``DummyVecEnv`` does, to the last bit."""
        observation, reward, terminated, truncated, info = self._env.step(action)
        done = bool(terminated or truncated)
        info["TimeLimit.truncated"] = truncated and not terminated
        if done:
            info["terminal_observation"] = observation
            observation, self._reset_info = self._env.reset()
        return self._as_declared(observation), reward, done, info, self._reset_info

    def reset(self, seed_and_options: tuple[int | None, dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        seed, options = seed_and_options
        # An env need not take options.
        observation, self._reset_info = self._env.reset(seed=seed, **({"options": options} if options else {}))
        return self._as_declared(observation), self._reset_info

    def render(self, _: None) -> Any:
        """Draw."""
        return self._env.render()

    def get_spaces(self, _: None) -> tuple[Any, Any]:
        """Give the spaces of observations and actions."""
        return self._env.observation_space, self._env.action_space

    def env_method(self, call: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Any:
        """Call a method of the env or of a wrapper."""
        name, args, kwargs = call
        return self._env.get_wrapper_attr(name)(*args, **kwargs)

    def get_attr(self, name: str) -> Any:
        """Give an attribute of the env or of a wrapper."""
        return self._env.get_wrapper_attr(name)

    def has_attr(self, name: str) -> bool:
        """Say whether the env or a wrapper has an attribute."""
        return bool(self._env.has_wrapper_attr(name))

    def set_attr(self, attribute: tuple[str, Any]) -> None:
        """Set an attribute of the outermost wrapper."""
        setattr(self._env, *attribute)

    def is_wrapped(self, kind: type[gym.Wrapper[Any, Any, Any, Any]]) -> bool:
        """Say whether the env is in such a wrapper."""
        from stable_baselines3.common.env_util import is_wrapped

        return is_wrapped(self._env, kind)

    def close(self, _: None) -> None:
        """Close the env; what it writes is written then."""
        self.is_closed = True
        self._env.close()

    def _note_undrawn(self, error: RenderError) -> None:
        self._undrawn.append(reason(error.__cause__ or error))

    def _as_declared(self, observation: Any) -> Any:
        """Bring an observation into the type and shape of its space, as ``DummyVecEnv`` does."""
        space = self._env.observation_space
        if isinstance(space, spaces.Dict):
            return {key: _as_declared(observation[key], part) for key, part in space.spaces.items()}
        return _as_declared(observation, space)


def _as_declared(observation: Any, space: spaces.Space[Any]) -> Any:
    row = np.zeros(space.shape or (), space.dtype)
    row[...] = observation
    return row


def _next(connection: "Connection[Any, Any]") -> tuple[str, Any]:
    try:
        command, data = connection.recv()
    except (EOFError, ConnectionResetError):
        _leave()
    return command, data


def _send(connection: "Connection[Any, Any]", answer: Answer) -> None:
    try:
        data = ForkingPickler.dumps(answer)
    except Exception as error:  # an object may raise anything while it is pickled
        told = RunError(
            "what an environment answers has to reach another process with --vec-env subproc, and this cannot "
            f"({kind_and_reason(error)}); leave it out of the info, or train with --vec-env dummy"
        )
        data = ForkingPickler.dumps(Answer(Failure.of(told)))
    try:
        connection.send_bytes(data)
    except (BrokenPipeError, ConnectionResetError):
        _leave()


def _outlive_signals() -> None:
    """Leave it to the training's process what a signal to all of them, such as Ctrl-C, means: it saves its state first.

    They are handled, and not ignored, for programs that an env starts would then ignore them, too.
    """

    def nothing(number: int, frame: FrameType | None) -> None:
        pass

    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, nothing)


def _end_with_the_training() -> None:
    """End at once where the training's process dies, in the midst of a step, too.

    Whoever goes on with its run must not find that the step's episode is still being written.
    """
    parent = multiprocessing.parent_process()
    if parent is None:  # called by itself, in a test
        return

    def watch() -> None:
        parent.join()
        _leave()

    threading.Thread(target=watch, daemon=True).start()


def _leave() -> NoReturn:
    os._exit(1)


def _warn_once(rank: int) -> None:
    """Show what warnings say in a line, and what all envs say once."""
    if rank > 0 and not sys.warnoptions:
        warnings.simplefilter("ignore")

    warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\n"
