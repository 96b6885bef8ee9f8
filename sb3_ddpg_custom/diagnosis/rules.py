"""What is wrong with a training, in words: rules with thresholds, where each comes from, and which option to change.

A rule says nothing where its facts are missing, and nothing of a healthy run: comparisons with NaN are False.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sb3_ddpg_custom.diagnosis.facts import Array, Facts

# Episodes and evaluations below which there is nothing to be sure of.
_FEW = 5


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    :param rule: its short name
    :param sentence: what is seen, with the figures
    :param advice: what to change
    :param source: where the threshold or the cure comes from
    """

    rule: str
    sentence: str
    advice: str
    source: str


Rule = Callable[[Facts], Finding | None]


def critic_diverges(facts: Facts) -> Finding | None:
    """|Q| is beyond three times anything that rewards could add up to."""
    predicted = np.abs(facts.late("train/q_mean"))
    most = _largest_return(facts)
    if not (len(predicted) >= _FEW and np.median(predicted) > 3 * most):
        return None
    return Finding(
        "critic-diverges",
        f"the critic predicts {np.median(predicted):,.3g}, and no discounted return here can be above {most:,.3g}",
        "lower critic_learning_rate, or bound what it can claim: policy_kwargs.layer_norm=critic, n_steps=3, "
        "max_grad_norm=10",
        "van Hasselt et al. 2018, soft divergence (arXiv 1812.02648)",
    )


def q_overestimates(facts: Facts) -> Finding | None:
    """Q promises half as much again as what came of the same states and actions, and more than states differ."""
    predicted, realised = facts.late_median("diagnosis/q_predicted"), facts.late_median("diagnosis/q_realised")
    spread = facts.late_median("diagnosis/q_spread")
    if not predicted - realised > 0.5 * abs(realised) + spread:
        return None
    return Finding(
        "q-overestimates",
        f"Q promises {predicted:,.3g} where {realised:,.3g} came of it",
        "n_steps=3, policy_kwargs.layer_norm=critic, or two critics: policy_kwargs.n_critics=2",
        "Fujimoto et al. 2018 (TD3, arXiv 1802.09477), section 4",
    )


def tanh_saturates(facts: Facts) -> Finding | None:
    """Nearly all actions stand at the bounds, where tanh has no slope, and nothing was gained by it."""
    share = facts.late_median("diagnosis/saturated_actions")
    if not (share >= 0.95 and _gain(facts) < 0.5 and not _began_worse(facts)):
        return None
    return Finding(
        "tanh-saturates",
        f"{100 * share:.0f} % of the actor's outputs stand at the action's bounds, where it cannot learn",
        "pre_tanh_penalty=1e-5 (more with large rewards), a lower learning_rate, or output_init=3e-3",
        "Fujimoto et al. 2025 (MR.Q, arXiv 2501.16142)",
    )


def units_die(facts: Facts) -> Finding | None:
    """Nine of ten hidden units answer 0 to every state."""
    for role in ("actor", "critic"):
        share = facts.late_median(f"diagnosis/dead_units_{role}")
        if share >= 0.9:
            return Finding(
                "units-die",
                f"{100 * share:.0f} % of the {role}'s hidden units are 0 in every state",
                "a lower learning_rate, policy_kwargs.layer_norm=both, or policy_kwargs.activation_fn=nn.LeakyReLU",
                "Sokar et al. 2023 (ReDo, arXiv 2302.12902)",
            )
    return None


def nothing_explores(facts: Facts) -> Finding | None:
    """The actions that are tried are the actor's own."""
    noise, scale = facts.settings.get("noise_type"), facts.settings.get("noise_std")
    asked_for_none = bool(facts.settings) and (noise is None or scale in (None, 0, 0.0))
    tried = facts.late_median("diagnosis/exploration")
    if not (tried < 0.01 or asked_for_none):
        return None
    seen = "no noise is set" if asked_for_none else f"actions differ from the actor's by {tried:.2g} of a range of 2"
    return Finding(
        "nothing-explores",
        f"nothing new is tried: {seen}",
        "noise_type=normal with noise_std=0.1, or noise_type=ornstein-uhlenbeck where rewards are rare",
        "Lillicrap et al. 2016 (arXiv 1509.02971), section 3",
    )


def rewards_out_of_scale(facts: Facts) -> Finding | None:
    """Rewards of a step are above 100 or below a thousandth in the mean."""
    late = facts.is_late & (facts.episode_lengths > 0)
    if late.sum() < _FEW:
        return None
    size = float(np.median(np.abs(facts.episode_returns[late]) / facts.episode_lengths[late]))
    if not (size > 100 or 0 < size < 1e-3):
        return None
    return Finding(
        "rewards-out-of-scale",
        f"rewards are {size:.2g} a step, which makes Q hard to fit",
        "normalize={norm_obs: false}, which scales rewards by the running spread of the returns",
        "Henderson et al. 2018 (arXiv 1709.06560), reward scale",
    )


def observations_out_of_scale(facts: Facts) -> Finding | None:
    """A number that the networks read is above 10 in the mean of squares."""
    size = facts.late_median("diagnosis/largest_input")
    if not size > 10:
        return None
    return Finding(
        "observations-out-of-scale",
        f"the largest number that the networks read is {size:,.3g} in root mean square",
        "policy_kwargs.normalize_observations=true",
        "Andrychowicz et al. 2021 (arXiv 2006.05990), observation normalisation",
    )


def learning_never_started(facts: Facts) -> Finding | None:
    """No update was made, or what is reached at the end is what random actions reach."""
    starts = facts.settings.get("learning_starts")
    total = facts.settings.get("n_timesteps")
    if isinstance(starts, int) and isinstance(total, int) and starts >= total:
        return Finding(
            "learning-never-starts",
            f"random actions are taken for {starts:,} steps, and the training has {total:,}",
            "lower learning_starts, or train for longer",
            "Lillicrap et al. 2016 (arXiv 1509.02971), Algorithm 1",
        )
    first = _random_returns(facts)
    end = (
        facts.evaluation_means[-_FEW:] if len(facts.evaluation_means) >= _FEW else facts.episode_returns[facts.is_late]
    )
    if len(first) < 3 or len(end) < 3 or facts.steps < 10 * (starts or 0):
        return None
    if not end.mean() <= first.mean() + 0.5 * first.std():
        return None
    return Finding(
        "learning-never-starts",
        f"returns are {end.mean():,.4g} at the end, and were {first.mean():,.4g} with random actions",
        "more exploration (noise_std, or noise_type=ornstein-uhlenbeck where rewards are rare), a larger "
        "learning_starts, and the other findings first",
        "Matheron et al. 2019 (arXiv 1911.11679), on rewards that are rare",
    )


def time_limit_is_terminal(facts: Facts) -> Finding | None:
    """All episodes are equally long, and the environment calls each of their ends its own."""
    lengths = facts.episode_lengths[facts.is_late]
    if len(lengths) < _FEW or lengths.min() != lengths.max() or lengths[0] <= 1:
        return None
    if facts.late_median("diagnosis/terminated") != 1:
        return None
    return Finding(
        "time-limit-is-terminal",
        f"every episode ends after {lengths[0]:,} steps, and the environment says that nothing can come after",
        "return truncated=True instead of terminated=True at the time limit, or let gymnasium.register's "
        "max_episode_steps end episodes",
        "Pardo et al. 2018 (arXiv 1712.00378)",
    )


def evaluations_differ(facts: Facts) -> Finding | None:
    """Without noise the agent does far worse than with it."""
    trained, evaluated = facts.episode_returns[facts.is_late], facts.evaluation_means[-_FEW:]
    if len(trained) < _FEW or len(evaluated) < _FEW:
        return None
    width = np.percentile(facts.episode_returns, 95) - np.percentile(facts.episode_returns, 5)
    if not trained.mean() - evaluated.mean() > 0.5 * width + trained.std():
        return None
    return Finding(
        "evaluations-differ",
        f"evaluations return {evaluated.mean():,.4g}, and training episodes {trained.mean():,.4g}",
        "look for what differs between the environments (wrappers, env_kwargs, statistics of normalisation); an agent "
        "that needs its noise may also be stuck without it",
        "Stable-Baselines3's guide, on evaluating an agent",
    )


def replay_ratio_is_off(facts: Facts) -> Finding | None:
    """There are less than a tenth, or more than ten updates for an env step."""
    settings = facts.settings
    every, updates = settings.get("train_freq", 1), settings.get("gradient_steps", 1)
    if not isinstance(every, int) or not isinstance(updates, int) or updates == -1:
        return None  # counted in episodes, or one update for each step
    ratio = updates / (every * settings.get("n_envs", 1))
    if 0.1 <= ratio <= 10:
        return None
    return Finding(
        "replay-ratio-is-off",
        f"there are {ratio:.3g} updates for each env step",
        "gradient_steps=-1 makes one update for each step of each env",
        "Fedus et al. 2020 (arXiv 2007.06700); D'Oro et al. 2023, on resets above 10",
    )


def forgets(facts: Facts) -> Finding | None:
    """The last tenth of the evaluations is a quarter of all that was gained below the best three in a row."""
    means = facts.evaluation_means
    if len(means) < 2 * _FEW:
        return None
    rolling = np.convolve(means, np.ones(3) / 3, "valid")
    best, final = rolling.max(), means[-max(3, len(means) // 10) :].mean()
    noise = facts.evaluation_returns.std(axis=1).mean() / np.sqrt(facts.evaluation_returns.shape[1])
    if not best - final > 0.25 * (best - means.min()) + 2 * noise:
        return None
    return Finding(
        "forgets",
        f"three evaluations in a row returned {best:,.4g}, and the last ones {final:,.4g}",
        "actor_average_tau=1e-4, n_steps=3, a lower learning_rate; best.zip holds the best of them",
        "published tables: best and final of DDPG differ by half on Hopper and Walker2d",
    )


#: all rules on one run, the gravest first
RULES: Sequence[Rule] = (
    *(critic_diverges, learning_never_started, nothing_explores, time_limit_is_terminal, tanh_saturates, units_die),
    *(q_overestimates, forgets, evaluations_differ, observations_out_of_scale, rewards_out_of_scale),
    replay_ratio_is_off,
)


def findings(facts: Facts) -> list[Finding]:
    """Apply all rules to a run.

    :param facts: on it
    """
    return [found for rule in RULES if (found := rule(facts)) is not None]


def seeds_disagree(finals: Array, gains: Array) -> Finding | None:
    """Say whether runs of one setting end in different places: some have learned the task, others have not.

    :param finals: final score of each run
    :param gains: what each has gained over its first evaluation
    """
    if len(finals) < 3 or not np.ptp(finals) > 0.5 * gains.max() > 0:
        return None
    return Finding(
        "seeds-disagree",
        f"{len(finals)} seeds end between {finals.min():,.4g} and {finals.max():,.4g}",
        "more seeds before anything is concluded (ddpg compare), and a look at the worst of them",
        "Agarwal et al. 2021 (arXiv 2108.13264)",
    )


def _largest_return(facts: Facts) -> float:
    """Bound what rewards like those of the episodes can add up to, discounted; with time limits, without an end."""
    lengths = np.maximum(facts.episode_lengths, 1)
    if not len(lengths):
        return float("nan")
    gamma = min(float(facts.settings.get("gamma", 0.99)), 1 - 1e-9)
    return float((np.abs(facts.episode_returns) * np.maximum(1, 1 / (lengths * (1 - gamma)))).max())


def _random_returns(facts: Facts) -> Array:
    """Give the returns of the episodes before the first update."""
    starts = facts.settings.get("learning_starts", 100)
    returns: Array = facts.episode_returns[facts.episode_steps <= starts]
    return returns


def _gain(facts: Facts) -> float:
    """Tell which part of all that evaluations have seen lies between the first one and the last ones."""
    means = facts.evaluation_means
    if len(means) < _FEW or np.ptp(means) == 0:
        return 0.0
    return float((means[-3:].mean() - means[0]) / np.ptp(means))


def _began_worse(facts: Facts) -> bool:
    """Say whether the first five training episodes all returned less than three quarters of the late ones do.

    A task may be learned before it is first evaluated. Of episodes that never change, one in a thousand fives is so.
    """
    late = facts.episode_returns[facts.is_late]
    return len(late) >= _FEW and bool((facts.episode_returns[:5] < np.quantile(late, 0.25)).all())
