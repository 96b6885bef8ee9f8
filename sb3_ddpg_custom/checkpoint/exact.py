"""Exact resume: a training that was killed goes on as if it had not been, bit by bit.

>>> from sb3_ddpg_custom import DDPG
>>> from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint
>>> ExactCheckpoint("runs/mine", every_steps=10_000).every_steps
10000
"""

import logging
import os
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_ddpg_custom.checkpoint.beside import HasState
from sb3_ddpg_custom.checkpoint.description import versions
from sb3_ddpg_custom.checkpoint.episodes import NO_REPLAYER, can_replay, episodes_so_far, left_out, play_again
from sb3_ddpg_custom.checkpoint.plain_tree import read_tree, write_tree
from sb3_ddpg_custom.checkpoint.run_state import built_as, capture, put_back, put_back_in_learn, unknown_wrapper
from sb3_ddpg_custom.checkpoint.store import CheckpointStore, Manifest, StoreError
from sb3_ddpg_custom.replay.segments import (
    Segment,
    SegmentedBuffer,
    check_ring,
    check_rows,
    is_still_needed,
    restore_ring,
    ring_state,
    rows_of,
    why_not_kept,
    write_rows,
)

_log = logging.getLogger(__name__)

Algorithm = TypeVar("Algorithm", bound=OffPolicyAlgorithm)

# By time: so long that writing takes a hundredth of it, and at least this.
_LEAST_SECONDS = 5.0
_TIMES_ITS_DURATION = 100
_MOST_SEGMENTS = 256


class ResumeError(ValueError):
    """A checkpoint does not belong to this model; nothing has been changed, or the model is to be built anew."""


class ExactCheckpoint(BaseCallback):
    """Keep the whole state of a training in a folder, so that :func:`restore` brings it back exactly.

    Kept are networks, targets, optimisers, counters, the replay buffer (what is new since the last checkpoint), noise,
    every random generator, the statistics of vectorised wrappers, and the running episodes, which
    :class:`sb3_ddpg_custom.wrappers.EpisodeReplayer` plays again: put it around each env, outermost. Works with every
    off-policy algorithm of SB3's. Nothing is pickled.

    :meth:`learn` begins a training, or goes on with it where the folder has a checkpoint.

    :param folder: of this training alone
    :param every_steps: env steps between checkpoints; None writes as often as takes a hundredth of the training's
        time, and every five seconds at most
    :param also: what else goes on, by name
    :param facts: plain data for the manifest, such as the env's id
    :param wanted: asked before each rollout whether to write one now, whatever the rest says
    :param may_differ: settings that a restored model need not have had, such as ``learning_rate``; its own count
    """

    #: it changes nothing about the model, so that quick acting goes on
    leaves_the_model_alone = True

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every_steps: int | None = None,
        also: Mapping[str, HasState] | None = None,
        facts: Mapping[str, Any] | None = None,
        may_differ: Collection[str] = (),
        wanted: Callable[[], bool] | None = None,
    ) -> None:
        super().__init__()
        self._wanted = wanted
        if every_steps is not None and (type(every_steps) is not int or every_steps < 1):
            raise ValueError(f"every_steps must be a whole number of at least 1, got {every_steps!r}")
        self.store = CheckpointStore(Path(folder))
        self.every_steps = every_steps
        self.also = dict(also or {})
        self.facts = dict(facts or {})
        self.may_differ = frozenset(may_differ)
        self.inexact_because: str | None = None
        self._next_step, self._next_time = 0, 0.0
        self._begun_with: dict[str, Any] = {}
        self._rows: SegmentedBuffer | None = None
        self._segments: dict[str, Segment] = {}
        self._last: Manifest | None = None
        #: what the next ``learn`` has to put back when it has begun
        self.pending: Mapping[str, Any] | None = None

    def learn(
        self,
        model: Algorithm,
        total_timesteps: int,
        callback: BaseCallback | list[BaseCallback] | None = None,
        **options: Any,
    ) -> Algorithm:
        """Train a model until it has made so many env steps, from the newest checkpoint on where there is one.

        :param model: built as it was when the folder's training began
        :param total_timesteps: of the whole training, over all envs
        :param callback: other callbacks
        :param options: more arguments of SB3's ``learn``
        :return: the model
        :raises ResumeError: if the folder's checkpoint is of another model
        """
        others = callback if isinstance(callback, list) else [] if callback is None else [callback]
        restored = restore(model, self)
        begun = restored is not None
        if begun and model.num_timesteps >= total_timesteps:
            return model
        left = total_timesteps - (model.num_timesteps if begun else 0)
        model.learn(left, callback=CallbackList([self, *others]), reset_num_timesteps=not begun, **options)
        self.save()
        return model

    def _on_training_start(self) -> None:
        algorithm: Any = self.model
        if self._rows is None or self._rows.buffer is not algorithm.replay_buffer:
            self._begun_with = built_as(algorithm)
            self.inexact_because = why_not_exact(algorithm)
            self._rows = None if why_not_kept(algorithm.replay_buffer) else SegmentedBuffer(algorithm.replay_buffer)
            if self.inexact_because is not None:
                _log.warning("checkpoints will not be exact: %s", self.inexact_because)
        if self.pending is not None:
            # What learn begins anew by itself.
            put_back_in_learn(algorithm, self.pending)
            self.pending = None
        self._plan_next(0.0)

    def _on_rollout_start(self) -> None:
        if self._wanted is not None and self._wanted():
            self.save()
        elif self.every_steps is None:
            if time.monotonic() >= self._next_time:
                self.save()
        elif self.num_timesteps >= self._next_step:
            self.save()

    def _on_step(self) -> bool:
        return True

    def _plan_next(self, seconds: float) -> None:
        every = self.every_steps or 1
        self._next_step = (self.num_timesteps // every + 1) * every
        self._next_time = time.monotonic() + max(_LEAST_SECONDS, _TIMES_ITS_DURATION * seconds)

    def save(self) -> Manifest:
        """Write a checkpoint now; only between two rollouts, or when the training is over.

        :raises OSError: if the disk does not take it; the last checkpoint stays
        """
        began = time.monotonic()
        model: Any = self.model
        step = model.num_timesteps
        if self._last is not None and self._last.step == step:
            return self._last
        state = {
            "model": capture(model),
            "begun_with": self._begun_with,
            "episodes": episodes_so_far(model.get_env()),
            "also": {name: one.state() for name, one in self.also.items()},
        }
        new = {f"state-{step}.zip": partial(write_tree, state)}
        old: dict[str, Mapping[str, Any]] = {}
        if self._rows is not None:
            state["ring"] = ring_state(model.replay_buffer)
            new |= self._new_segment(step // model.n_envs)
            old = {name: entry for name, entry in _files(self._last).items() if name in self._segments}
        facts = {
            **self.facts,
            "exact": self.inexact_because is None,
            "inexact_because": self.inexact_because,
            "algorithm": type(model).__name__,
            "total_steps": model._total_timesteps,
            "left_out": left_out(state["episodes"]),
            "transitions": _transitions(model.replay_buffer),
            "segments": {name: [one.first, one.rows, one.until] for name, one in self._segments.items()},
            "versions": versions(),
        }
        try:
            self._last = self.store.commit(step, new, old, facts)
        except BaseException:
            if self._rows is not None:  # what was not written is new next time, too
                self._rows.forget()
                self._segments = {}
            raise
        self._plan_next(time.monotonic() - began)
        return self._last

    def restate(self, **facts: Any) -> None:
        """Change what the newest checkpoint says of itself, and what the next ones will say.

        :param facts: plain data for the manifest
        """
        self.facts |= facts
        if self._last is not None:
            self._last = self.store.commit(self._last.step, {}, self._last.files, {**self._last.facts, **facts})

    def _new_segment(self, rows_added: int) -> dict[str, Any]:
        assert self._rows is not None  # noqa: S101 (asked before)
        buffer = self._rows.buffer
        if len(self._segments) >= _MOST_SEGMENTS:
            self._rows.forget()
        segment = self._rows.new_rows(rows_added)
        whole = segment.rows == buffer.size()
        size = buffer.buffer_size
        kept = {} if whole else self._segments
        self._segments = {name: one for name, one in kept.items() if is_still_needed(one, rows_added, size)}
        name = f"rows-{rows_added}.zip"
        self._segments[name] = segment

        def write(file: BinaryIO) -> None:
            write_tree(rows_of(buffer, segment), file)

        return {name: write}

    def went_on(self, manifest: Manifest, state: Mapping[str, Any], buffer: Any, rows_added: int) -> None:
        """Take a checkpoint that was read for the last one that was written."""
        self._last = manifest
        self._begun_with = dict(state["begun_with"])
        self.inexact_because = manifest.facts.get("inexact_because")
        self._segments = _segments(manifest)
        if why_not_kept(buffer) is None:
            self._rows = SegmentedBuffer(buffer)
            self._rows.went_on(rows_added)


def restore(model: OffPolicyAlgorithm, checkpoint: ExactCheckpoint) -> Manifest | None:
    """Bring a freshly built model to where the newest whole checkpoint of a folder was.

    Go on with ``model.learn(total - model.num_timesteps, callback=checkpoint, reset_num_timesteps=False)``, where the
    callback puts back what ``learn`` begins anew, or leave both to :meth:`ExactCheckpoint.learn`. Where an env's
    replayed episode does not come out the same, a warning names it, all episodes begin anew, and checkpoints from then
    on say ``exact: false``.

    :param model: with its envs, built as when the training began
    :param checkpoint: the callback that goes on with the folder
    :return: what was restored; None where the folder has no checkpoint
    :raises ResumeError: if the checkpoint is of another model or env, or none of the folder's is whole
    """
    manifest, problems = checkpoint.store.newest()
    if manifest is None:
        if problems:
            raise ResumeError(f"no checkpoint in {checkpoint.store.folder} is whole: {problems[0]}")
        return None
    for problem in problems:
        _log.warning("%s; an older checkpoint is used", problem)
    try:
        state = read_tree(checkpoint.store.read(manifest, f"state-{manifest.step}.zip"))
        built = built_as(model)
        own = {name: value for name, value in built.items() if name in checkpoint.may_differ}
        state["begun_with"] |= own
        state["model"]["settings"] |= own
        _check_settings(built, state["begun_with"])
        if state["model"]["counters"]["num_timesteps"] != manifest.step:
            raise ValueError(f"its state is not of step {manifest.step}")
        buffer: Any = model.replay_buffer
        if why_not_kept(buffer) is None and "ring" in state:
            check_ring(buffer, state["ring"])
            segments = _segments(manifest)
            for name, segment in segments.items():
                write_rows(buffer, segment, read_tree(checkpoint.store.read(manifest, name)))
            restore_ring(buffer, state["ring"])
            check_rows(buffer, list(segments.values()))
        put_back(model, state["model"])
        checkpoint.went_on(manifest, state, buffer, manifest.step // model.n_envs)
        reasons = [one.restore(state["also"][name]) for name, one in checkpoint.also.items()]
        reasons.append(play_again(model, state["episodes"]))
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, StoreError) as error:
        missing = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
        raise ResumeError(f"the checkpoint of step {manifest.step} does not fit this model: {missing}") from error
    why_not = next((reason for reason in reasons if reason is not None), None)
    if why_not is not None:
        checkpoint.inexact_because = why_not
        _log.warning("the training does not go on exactly: %s", why_not)
    checkpoint.pending = state["model"]
    return manifest


def why_not_exact(model: Any) -> str | None:
    """Say what about a model or its envs keeps a resume from being exact; None if nothing does.

    :param model: an off-policy algorithm with its envs
    """
    reason = why_not_kept(model.replay_buffer)
    if reason is not None:
        return reason
    wrapper = unknown_wrapper(model.get_env())
    if wrapper is not None:
        return f"what the vectorised wrapper {wrapper} keeps is not known"
    if not can_replay(model.get_env()):
        return NO_REPLAYER
    return None


def _check_settings(here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    for name in [*there, *here]:
        if here.get(name) != there.get(name):
            raise ResumeError(f"{name} is {here.get(name)} here and was {there.get(name)}; build the model as it was")


def _transitions(buffer: Any) -> list[int] | None:
    """Give how many transitions a buffer holds, and how many it could."""
    return None if buffer is None else [buffer.size() * buffer.n_envs, buffer.buffer_size * buffer.n_envs]


def _segments(manifest: Manifest) -> dict[str, Segment]:
    named = manifest.facts.get("segments", {})
    segments = {name: Segment(*map(int, numbers)) for name, numbers in named.items()}
    return dict(sorted(segments.items(), key=lambda item: item[1].until))


def _files(manifest: Manifest | None) -> Mapping[str, Mapping[str, Any]]:
    return {} if manifest is None else manifest.files
