"""Results that a campaign keeps: a JSON file for each finished run, small enough to commit."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sb3_ddpg_custom.cli.results.monitor_csv import MAX_BYTES

PATTERN = "*-seed-*.json"


def read_kept(path: Path) -> dict[str, Any]:
    """Read one.

    :param path: which ``benchmarks/campaign.py`` has written
    :return: ``env``, ``setting``, ``seed``, ``settings``, ``steps`` (n,) and ``returns`` (n, episodes)
    :raises ValueError: if it is something else
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    try:
        document: Any = json.loads(path.read_bytes())
        steps, returns = (np.asarray(document[name], np.float64) for name in ("steps", "returns"))
        kept = {name: document[name] for name in ("env", "setting", "seed", "settings")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is no result of a campaign") from error
    if steps.ndim != 1 or returns.ndim != 2 or len(steps) != len(returns) or not np.isfinite(steps).all():
        raise ValueError(f"its steps have the shape {steps.shape}, its returns {returns.shape}")
    return {**kept, "steps": steps, "returns": returns}
