"""Settings that are right by themselves and cannot go together."""

from typing import TYPE_CHECKING

from sb3_ddpg_custom.yaml_values import noise_problem

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.config.settings import Settings


def conflict_of(settings: "Settings") -> str | None:
    """Find the first conflict.

    :param settings: each of them checked
    :return: a sentence; None if there is none
    """
    return (
        noise_problem(settings.noise_type, settings.noise_std, settings.n_envs)
        or _episode_problem(settings)
        or _endless_problem(settings)
        or _twice_problem(settings)
        or _blocks_problem(settings)
    )


def _episode_problem(settings: "Settings") -> str | None:
    """SB3 counts episodes in a single environment only."""
    if isinstance(settings.train_freq, int) or settings.train_freq[1] == "step" or settings.n_envs == 1:
        return None
    return f"train_freq counts episodes, which needs one environment, but n_envs is {settings.n_envs}; count steps"


def _twice_problem(settings: "Settings") -> str | None:
    """Find two normalisations of observations, one on top of the other."""
    by_env = settings.normalize and settings.normalize.get("norm_obs", True)
    always = settings.policy == "SimbaPolicy"
    if not by_env or not (always or settings.policy_kwargs.get("normalize_observations")):
        return None
    return (
        f"normalize and {'SimbaPolicy' if always else 'policy_kwargs.normalize_observations'} would normalise "
        "observations twice; "
        "set normalize=false, or normalize.norm_obs=false to normalise rewards alone"
    )


def _endless_problem(settings: "Settings") -> str | None:
    """Find what would last longer than the whole training."""
    every = settings.train_freq[0] if isinstance(settings.train_freq, tuple) else settings.train_freq
    steps = settings.n_timesteps
    if every > max(steps, 1000):  # a little more than there are does no harm, and ends
        shown = list(settings.train_freq) if isinstance(settings.train_freq, tuple) else every
        return f"train_freq is {shown}, more than the {steps:,} steps of the training; lower it"
    if settings.gradient_steps > max(steps, 10_000):
        return (
            f"gradient_steps is {settings.gradient_steps:,}, more updates at once than the training has steps; lower it"
        )
    return None


def _blocks_problem(settings: "Settings") -> str | None:
    """Find what residual blocks cannot be made of."""
    if settings.policy != "SimbaPolicy":
        return None
    if settings.policy_kwargs.get("normalize_observations") is False:
        return "SimbaPolicy always normalises observations; leave policy_kwargs.normalize_observations out"
    if str(settings.policy_kwargs.get("activation_fn", "ReLU")).rpartition(".")[2] != "ReLU":
        return "the blocks of SimbaPolicy compute ReLU; leave policy_kwargs.activation_fn out"
    net_arch = settings.policy_kwargs.get("net_arch")
    networks = net_arch.values() if isinstance(net_arch, dict) else [] if net_arch is None else [net_arch]
    if any(len(set(widths)) != 1 for widths in networks):
        return (
            f"policy_kwargs.net_arch is {net_arch}; for SimbaPolicy it is the width of each block, the same for all "
            "blocks of a network, such as [128, 128]"
        )
    return None
