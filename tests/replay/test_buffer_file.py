"""Replay buffers on the disk: what comes back, what is refused and why, and what SB3 wrote."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces
from helpers import SMALL
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.callbacks import CheckpointCallback

from sb3_ddpg_custom import DDPG, ReplayBuffer
from sb3_ddpg_custom.replay.files import load_replay_buffer, save_replay_buffer
from sb3_ddpg_custom.replay.from_sb3 import from_sb3

BOX = spaces.Box(-1, 1, (2,), np.float32)
ACTIONS = spaces.Box(-1, 1, (1,), np.float32)
DICT = spaces.Dict({"é": BOX, "level": spaces.Discrete(9)})


def trained(steps: int = 60, **options: Any) -> DDPG:
    env = gym.make("Pendulum-v1", max_episode_steps=25)
    return DDPG("MlpPolicy", env, **SMALL | options).learn(steps)


def draw(buffer: Any) -> list[Any]:
    drawn: list[Any] = []
    for seed in range(3):
        np.random.seed(seed)
        for part in buffer.sample(32):
            drawn += [np.asarray(one) for one in part.values()] if isinstance(part, dict) else [part]
    return [None if one is None else np.asarray(one).tobytes() for one in drawn]


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "n_step": {"n_steps": 3},
    "saving": {"optimize_memory_usage": True},
    "priorities": {"replay_buffer_kwargs": {"priority_exponent": 0.6}},
    "all": {"n_steps": 3, "optimize_memory_usage": True, "replay_buffer_kwargs": {"priority_exponent": 0.6}},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("steps", [0, 60, 130])
def test_a_loaded_buffer_gives_the_same_batches_and_goes_on_alike(name: str, steps: int, tmp_path: Path) -> None:
    model = trained(steps, **OPTIONS[name])
    model.save_replay_buffer(tmp_path / "new" / "buffer")
    other = trained(30, **OPTIONS[name] | {"buffer_size": 7})
    other.load_replay_buffer(str(tmp_path / "new" / "buffer"))
    mine, loaded = model.replay_buffer, other.replay_buffer
    assert isinstance(mine, ReplayBuffer)
    assert isinstance(loaded, ReplayBuffer)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["buffer.pkl"]
    assert (loaded.buffer_size, loaded.pos, loaded.full) == (mine.buffer_size, mine.pos, mine.full)
    for step in range(130):
        if mine.size():
            assert draw(mine) == draw(loaded)
        if step % 26 == 0:
            value = np.full((1, 3), step / 200, np.float32)
        for buffer in (mine, loaded):
            buffer.add(value, value + 1, np.zeros((1, 1)), np.ones(1), np.array([False]), [{}])
        value = value + 1


def test_a_file_is_no_pickle_and_costs_what_is_filled(tmp_path: Path) -> None:
    trained(60, buffer_size=1_000_000).save_replay_buffer(tmp_path / "buffer.bin")
    content = (tmp_path / "buffer.bin").read_bytes()
    assert len(content) < 60 * 40 + 2000
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(content)


def test_file_objects_and_folders_work_as_in_sb3(tmp_path: Path) -> None:
    model, file = trained(), io.BytesIO()
    model.save_replay_buffer(file)
    file.seek(0)
    before = draw(model.replay_buffer)
    model.load_replay_buffer(file)
    assert draw(model.replay_buffer) == before
    with (tmp_path / "x").open("wb") as handle:
        model.save_replay_buffer(handle)
    with (tmp_path / "x").open("rb") as reader:
        model.load_replay_buffer(reader)
    assert draw(model.replay_buffer) == before
    with pytest.raises(FileNotFoundError):
        model.load_replay_buffer(tmp_path / "missing")


def test_sb3s_checkpoints_hold_the_buffer(tmp_path: Path) -> None:
    callback = CheckpointCallback(40, str(tmp_path), save_replay_buffer=True)
    DDPG("MlpPolicy", "Pendulum-v1", **SMALL).learn(50, callback=callback)
    model = DDPG("MlpPolicy", "Pendulum-v1", **SMALL)
    model.load_replay_buffer(tmp_path / "rl_model_replay_buffer_40_steps")
    assert model.replay_buffer is not None
    assert model.replay_buffer.size() == 39  # the callback comes before the transition of its step


def file_of(buffer: ReplayBuffer) -> io.BytesIO:
    file = io.BytesIO()
    save_replay_buffer(buffer, file)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"observation_space": spaces.Box(-1, 1, (3,))},
            r"observations is <f4 \(2,\) in the file and <f4 \(3,\) in the",
        ),
        ({"observation_space": spaces.Box(-1, 1, (2,), np.float64)}, r"observations is <f4 \(2,\) in the file and <f8"),
        ({"observation_space": DICT}, "observations:(é|level) is nothing of that name in the file"),
        ({"action_space": spaces.Box(-1, 1, (4,))}, r"actions is <f4 \(1,\) in the file and <f4 \(4,\) in the model"),
        ({"n_envs": 2}, "n_envs is 1 in the file and 2 in the model"),
        ({"optimize_memory_usage": True}, "optimize_memory_usage is False in the file and True in the model"),
        ({"handle_timeout_termination": False}, "handle_timeout_termination is True in the file"),
        ({"n_steps": 5}, "n_steps is 3 in the file and 5 in the model"),
        ({"gamma": 0.9}, "gamma is 0.99 in the file and 0.9 in the model"),
        ({"priority_exponent": 0.6}, "priority_exponent is None in the file and 0.6 in the model"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_what_differs(changed: dict[str, Any], message: str) -> None:
    fitting: dict[str, Any] = {"observation_space": BOX, "action_space": ACTIONS, "n_steps": 3}
    with pytest.raises(ValueError, match=message):
        load_replay_buffer(file_of(ReplayBuffer(9, **fitting)), ReplayBuffer(9, **fitting | changed))


def rewrite(file: io.BytesIO, **parts: bytes | None) -> io.BytesIO:
    changed = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = parts.get(name.partition(".")[0], old.read(name))
            if content is not None:
                new.writestr(name, content)
    changed.seek(0)
    return changed


def test_a_damaged_file_is_refused_and_the_old_buffer_stays(tmp_path: Path) -> None:
    model = trained(60, **OPTIONS["all"])
    before = model.replay_buffer
    file = io.BytesIO()
    model.save_replay_buffer(file)
    content = file.getvalue()
    with zipfile.ZipFile(file) as archive:
        at = archive.getinfo("rows").header_offset + 200
        header = json.loads(archive.read("header.json"))
    broken = {
        "empty": b"",
        "cut": content[: len(content) // 2],
        "flipped": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
        "text": b"hello",
        "no rows": rewrite(file, rows=None).getvalue(),
        "few rows": rewrite(file, rows=b"\0" * 16).getvalue(),
        "no slots": rewrite(file, final_observations=b"\0" * 12).getvalue(),
        "nan": rewrite(file, priorities=np.full(60, np.nan).tobytes()).getvalue(),
        "no json": rewrite(file, header=b"{").getvalue(),
        "pos": rewrite(file, header=json.dumps({**header, "pos": 100}).encode()).getvalue(),
        "row_bytes": rewrite(file, header=json.dumps({**header, "row_bytes": 8}).encode()).getvalue(),
        "version": rewrite(file, header=json.dumps({**header, "version": 2}).encode()).getvalue(),
        "another zip": rewrite(file, header=b"[]").getvalue(),
        "no header": rewrite(file, header=None).getvalue(),
        "a pickle that is cut": pickle.dumps(SB3ReplayBuffer(10, BOX, ACTIONS))[:100],
    }
    for name, damaged in broken.items():
        path = tmp_path / f"{name}.pkl"
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=name + "|this release reads version 1"):
            model.load_replay_buffer(path)
        assert model.replay_buffer is before


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    model.save_replay_buffer(tmp_path / "buffer")
    old = (tmp_path / "buffer.pkl").read_bytes()

    def full_disk(*_: Any, **__: Any) -> Any:
        raise OSError("no space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "open", full_disk)
    with pytest.raises(OSError, match="no space"):
        model.save_replay_buffer(tmp_path / "buffer")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("buffer.pkl", old)]


def fill(buffer: SB3ReplayBuffer, steps: int) -> SB3ReplayBuffer:
    rng = np.random.default_rng(0)
    space, n_envs = buffer.observation_space, buffer.n_envs

    def observe() -> Any:
        if isinstance(space, spaces.Dict):
            return {"é": rng.random((n_envs, 2), np.float32), "level": rng.integers(0, 9, n_envs)}
        return rng.random((n_envs, 2), np.float32)

    now = observe()
    for step in range(steps):
        after, done = observe(), np.full(n_envs, step % 5 == 4)
        infos = [{"TimeLimit.truncated": bool(step % 10 == 9)}] * n_envs
        buffer.add(now, after, rng.random((n_envs, 1)), rng.random(n_envs), done, infos)
        now = observe() if step % 5 == 4 else after
    return buffer


@pytest.mark.parametrize("steps", [0, 9, 33])
@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize(
    ("theirs", "space", "options"),
    [(SB3ReplayBuffer, BOX, {}), (DictReplayBuffer, DICT, {}), (NStepReplayBuffer, BOX, {"n_steps": 3})],
)
def test_sb3s_buffers_become_ours_with_the_same_batches(
    theirs: Any, space: Any, options: dict[str, Any], saving: bool, steps: int
) -> None:
    written = pickle.loads(pickle.dumps(fill(theirs(30, space, ACTIONS, "cpu", 2, **options), steps)))
    like = ReplayBuffer(8, space, ACTIONS, "cpu", 2, saving, **options)
    ours = from_sb3(written, like)
    assert type(ours) is ReplayBuffer
    assert (ours.pos, ours.full, ours.buffer_size) == (written.pos, written.full, 15)
    np.testing.assert_array_equal(ours.rewards, written.rewards)
    if steps:
        assert draw(ours) == draw(written)


def test_a_pickle_of_sb3_is_loaded_into_our_records(tmp_path: Path) -> None:
    theirs: Any = stable_baselines3.DDPG("MlpPolicy", "Pendulum-v1", n_steps=3, **SMALL).learn(50)
    theirs.save_replay_buffer(tmp_path / "theirs")
    model = trained(30, n_steps=3)
    model.load_replay_buffer(tmp_path / "theirs")
    assert type(model.replay_buffer) is ReplayBuffer
    assert draw(model.replay_buffer) == draw(theirs.replay_buffer)
    model.learn(20)
    before = (unfit := trained(30)).replay_buffer
    with pytest.raises(ValueError, match="n_steps is 3 in the file and 1 in the model"):
        unfit.load_replay_buffer(tmp_path / "theirs")
    assert unfit.replay_buffer is before


def test_buffers_that_are_not_ours_go_sb3s_way(tmp_path: Path) -> None:
    model = trained(40, replay_buffer_class=SB3ReplayBuffer)
    model.save_replay_buffer(tmp_path / "theirs")
    model.load_replay_buffer(tmp_path / "theirs")
    assert type(model.replay_buffer) is SB3ReplayBuffer
    saving = SB3ReplayBuffer(10, spaces.Box(-8, 8, (3,)), ACTIONS, "cpu", 1, True, False)
    (tmp_path / "saving.pkl").write_bytes(pickle.dumps(saving))
    ours = trained(40)
    ours.load_replay_buffer(tmp_path / "saving")
    assert type(ours.replay_buffer) is SB3ReplayBuffer
    trained(40).save_replay_buffer(tmp_path / "ours")
    with pytest.raises(
        ValueError, match="but this model uses ReplayBuffer: build the model without replay_buffer_class"
    ):
        model.load_replay_buffer(tmp_path / "ours")


def test_an_old_pickle_of_ours_still_loads(tmp_path: Path) -> None:
    model = trained(60, **OPTIONS["all"])
    (tmp_path / "ours.pkl").write_bytes(pickle.dumps(model.replay_buffer))
    before = draw(model.replay_buffer)
    model.load_replay_buffer(tmp_path / "ours")
    assert draw(model.replay_buffer) == before


def test_the_device_is_the_models() -> None:
    model = trained()
    file = io.BytesIO()
    model.save_replay_buffer(file)
    file.seek(0)
    model.device = th.device("meta")
    assert isinstance(model.replay_buffer, ReplayBuffer)
    model.replay_buffer.device = th.device("meta")
    model.load_replay_buffer(file)
    assert model.replay_buffer.device.type == "meta"
