"""Settings out of text, as a user's file would give them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sb3_ddpg_custom.cli.config.resolve import Resolved, resolve
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError

IDS = ["Pendulum-v1", "HalfCheetah-v5", "FrozenLake-v1"]


def resolved(
    env: str = "pendulum",
    *,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    steps: int | None = None,
    n_envs: int | None = None,
) -> Resolved:
    return resolve(env, config=config, overrides=overrides, steps=steps, n_envs=n_envs, registered_ids=IDS)


def from_file(tmp_path: Path, text: str, env: str = "pendulum") -> Settings:
    path = tmp_path / "my.yml"
    path.write_text(text, encoding="utf-8")
    return resolved(env, config=path).settings


def error_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        from_file(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800
    return message.replace(str(tmp_path / "my.yml"), "my.yml")
