"""Folders and files of runs, as trainings leave them: of ours, of rl_zoo3 and of SB3."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

# As rl_zoo3 writes it: a Python object, which nobody may make.
ZOO_CONFIG = "!!python/object/apply:collections.OrderedDict\n- - - gamma\n    - {gamma}\n"


def write_evaluations(path: Path, finals: Sequence[float], *, every: int = 100, episodes: int = 2) -> Path:
    """Write an ``evaluations.npz``; each evaluation's episodes lie symmetrically around its mean."""
    path.parent.mkdir(parents=True, exist_ok=True)
    means = np.array(finals, np.float64)[:, None]
    results = means + np.linspace(-1, 1, episodes)
    steps = np.arange(1, len(means) + 1) * every
    np.savez(path, timesteps=steps, results=results, ep_lengths=np.full(results.shape, 7))
    return path


def write_run(
    folder: Path,
    finals: Sequence[float],
    *,
    env: str = "Hopper-v5",
    seed: int = 0,
    settings: str = "gamma: 0.99",
    is_finished: bool = True,
) -> Path:
    """Write as much of a run folder of ours as is read."""
    (folder / "state").mkdir(parents=True)
    (folder / "config.yml").write_text(f"{env}: {{n_timesteps: 1200, {settings}}}\nrun: {{seed: {seed}}}\n")
    if is_finished:
        (folder / "state" / "done").write_text("1200")
    if len(finals):
        write_evaluations(folder / "evaluations.npz", finals)
    return folder


def write_study(folder: Path, settings: dict[str, Sequence[float]], *, env: str = "Hopper-v5") -> Path:
    """Write ``ENV/SETTING/seed-N`` with twelve equal evaluations each; one seed per number."""
    for setting, finals in settings.items():
        for seed, final in enumerate(finals):
            write_run(folder / env / setting / f"seed-{seed}", [final] * 12, env=env, seed=seed)
    return folder


def write_zoo_run(folder: Path, finals: Sequence[float], *, env: str = "Pendulum-v1", gamma: float = 0.98) -> Path:
    """Write as much of a log folder of rl_zoo3 as is read."""
    write_evaluations(folder / "evaluations.npz", finals)
    (folder / env).mkdir()
    (folder / env / "config.yml").write_text(ZOO_CONFIG.format(gamma=gamma))
    write_monitor(folder / "0.monitor.csv", [1.0, 2.0], env=env)
    return folder


def write_monitor(path: Path, returns: Sequence[float], *, env: str = "Pendulum-v1", length: int = 50) -> Path:
    """Write a file of SB3's ``Monitor``; each episode takes half an hour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{one},{length},{1800.0 * (number + 1)}" for number, one in enumerate(returns)]
    path.write_text("\n".join([f'#{{"t_start": 1000.0, "env_id": "{env}"}}', "r,l,t", *rows, ""]))
    return path
