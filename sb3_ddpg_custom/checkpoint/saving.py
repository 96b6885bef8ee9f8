"""What a model writes to the disk and takes over from it: SB3's zips, and replay buffers that run nothing."""

import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import torch as th
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_ddpg_custom.acting.averaged_actor import fitted
from sb3_ddpg_custom.action_bounds import bounded_env, bounds_in
from sb3_ddpg_custom.action_spaces import with_real_bounds
from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.checkpoint.description import DESCRIPTION, describe
from sb3_ddpg_custom.checkpoint.sb3_zip import LEFT_OUT, marked_for_us, trains_otherwise_in_sb3, without_mark
from sb3_ddpg_custom.replay.buffer import ReplayBuffer
from sb3_ddpg_custom.replay.files import save_replay_buffer
from sb3_ddpg_custom.replay.from_sb3 import load_any_replay_buffer
from sb3_ddpg_custom.temporarily import temporarily


class SavingAlgorithm(OffPolicyAlgorithm):
    """The half of an SB3 algorithm that saves and loads: zips that SB3 reads where it may, buffers without pickles."""

    _is_saving = False

    def save(
        self,
        path: str | Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """Write a zip; see SB3's ``BaseAlgorithm.save``. A file on the disk is replaced whole or not at all.

        Beside what SB3 needs it holds ``description.json``: spaces, policy, settings and versions as plain text. SB3's
        own DDPG reads it too, unless an option is in use without which it would silently train on differently: then it
        refuses the zip because of an "unexpected key in state_dict: needs_sb3_ddpg_custom".

        :param path: file, ``.zip`` is added where there is no suffix; or a binary file
        :param exclude: attributes to leave out besides SB3's choice
        :param include: attributes to keep against SB3's choice
        """
        content = io.BytesIO()
        with temporarily(self, _is_saving=True):
            super().save(content, exclude=[*(exclude or ()), "_is_saving"], include=include)
        with zipfile.ZipFile(content, "a") as archive:
            archive.writestr(DESCRIPTION, json.dumps(describe(self), indent=1))
        if isinstance(path, str | Path):
            with replacing(Path(path) if Path(path).suffix else Path(f"{path}.zip")) as file:
                file.write(content.getbuffer())
        else:
            path.write(content.getbuffer())

    @classmethod
    def load(
        cls,
        path: str | Path | io.BufferedIOBase,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Load a model from a zip of this class or SB3's; see SB3's ``BaseAlgorithm.load`` for the arguments.

        It unpickles what the zip holds, as SB3's does, and a pickle runs whatever its author wrote: load files that you
        trust. :func:`sb3_ddpg_custom.checkpoint.read_checkpoint` and ``build_policy`` read a stranger's policy without.
        """
        env = bounded_env(env, kwargs.get("action_bounds", bounds_in(path)))
        return super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Give the state dicts of the policy and its optimisers; see SB3's ``BaseAlgorithm.get_parameters``."""
        parameters: dict[str, dict[str, Any]] = super().get_parameters()
        return marked_for_us(parameters) if self._is_saving and trains_otherwise_in_sb3(self) else parameters

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """Take over state dicts or those of a zip; see SB3's ``BaseAlgorithm.set_parameters``.

        :param load_path_or_dict: what ``get_parameters`` gave, or a zip
        :param exact_match: refuse anything missing or left over
        :param device: where the tensors of a zip go
        """
        if not isinstance(load_path_or_dict, dict):
            _, load_path_or_dict, _ = load_from_zip_file(load_path_or_dict, device=device, load_data=False)
        known: Any = without_mark(load_path_or_dict)
        if "policy" in known:
            known = {**known, "policy": fitted(known["policy"], self.policy)}
        super().set_parameters(known, exact_match, device)

    def save_replay_buffer(self, path: str | Path | io.BufferedIOBase) -> None:
        """Write the replay buffer to a file that can be read without unpickling.

        A file on the disk is replaced whole or not at all. A buffer of another class goes SB3's way, as a pickle.

        :param path: file to write, ``.pkl`` is added where there is no suffix, folders are made; or a binary file
        """
        if isinstance(self.replay_buffer, ReplayBuffer):
            save_replay_buffer(self.replay_buffer, path)
        else:
            super().save_replay_buffer(path)

    def load_replay_buffer(self, path: str | Path | io.BufferedIOBase, truncate_last_traj: bool = True) -> None:
        """Take over a replay buffer that ours or SB3's ``save_replay_buffer`` wrote.

        The capacity is the file's. Batches are those that the saved buffer would have given. A pickle runs what its
        author put into it: load pickles that you trust. SB3's plain, Dict and n-step buffers become ours; others, such
        as ``HerReplayBuffer``, stay what they are.

        :param path: file to read, with or without ``.pkl``, or a binary file object
        :param truncate_last_traj: for ``HerReplayBuffer``, see SB3
        :raises ValueError: if the file is damaged, or does not fit this model
        """
        own = self.replay_buffer
        if own is None:
            own = self.replay_buffer = self._make_replay_buffer()

        def unpickled(file: Any) -> SB3ReplayBuffer | None:
            super(SavingAlgorithm, self).load_replay_buffer(file, truncate_last_traj)
            return self.replay_buffer

        try:
            own = load_any_replay_buffer(path, own, unpickled)
        finally:  # whatever went wrong, the model has one buffer that is whole
            self.replay_buffer = own
        if isinstance(own, ReplayBuffer):
            own.device = self.device

    def _make_replay_buffer(self) -> SB3ReplayBuffer:
        """Build an empty replay buffer from the model's settings, as SB3 does with the model."""
        kwargs = dict(self.replay_buffer_kwargs)
        if issubclass(self.replay_buffer_class, HerReplayBuffer):  # type: ignore[arg-type]  # set with the model
            kwargs["env"] = self.env
        return self.replay_buffer_class(  # type: ignore[misc]
            self.buffer_size,
            self.observation_space,
            with_real_bounds(self.action_space),
            device=self.device,
            n_envs=self.n_envs,
            optimize_memory_usage=self.optimize_memory_usage,
            **kwargs,
        )

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *LEFT_OUT]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "actor.optimizer", "critic.optimizer"], []
