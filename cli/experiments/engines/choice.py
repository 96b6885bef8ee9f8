"""From ``--on`` to what computes."""

from pathlib import Path

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.experiments.engines.interface import AnyEngine
from sb3_ddpg_custom.cli.experiments.options import PoolRequest


def engine_for(request: PoolRequest, n_runs: int | None, threads: int | None, out: Path) -> AnyEngine:
    """Make what computes the runs.

    :param request: where, and how many at once
    :param n_runs: there are at most; None where that is not known
    :param threads: of each run, as the user asked; None is one, as runs on more fight over cores that others use
    :param out: folder of the runs, for the engine's own logs
    :raises UsageError: if it cannot be had
    """
    if request.slurm and not request.on.startswith("slurm"):
        raise UsageError("--slurm is for --on slurm; add that, or leave it out")
    if request.on.startswith("ray"):
        from sb3_ddpg_custom.cli.experiments.engines.ray_cluster import RayCluster

        _, _, address = request.on.partition(":")
        return RayCluster(address or None, at_once=_at_once(request), threads=threads or 1)
    if request.on.startswith("slurm"):
        from sb3_ddpg_custom.cli.experiments.engines.slurm import Slurm

        local, logs = request.on == "slurm:local", out / "slurm"
        return Slurm(request.slurm, at_once=_at_once(request), threads=threads or 1, local=local, logs=logs)
    from sb3_ddpg_custom.cli.experiments.engines.local import LocalPool

    at_once = _at_once(request) or usable_cores()
    return LocalPool(at_once=at_once if n_runs is None else min(at_once, n_runs), threads=threads or 1)


def _at_once(request: PoolRequest) -> int | None:
    return None if request.jobs == "auto" else request.jobs


def usable_cores() -> int:
    """Count the cores that this process may use: physical ones, within its affinity and its container's share."""
    from joblib import cpu_count

    return int(cpu_count(only_physical_cores=True))
