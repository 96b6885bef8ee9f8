"""``ddpg config``."""

from pathlib import Path
from typing import Annotated

import typer

from sb3_ddpg_custom.cli.shared_options import Debug, Import, Preset, path_option


def config_command(
    env: Annotated[str, typer.Argument(metavar="ENV", help="An alias or a registered environment id.")],
    config: Annotated[Path | None, path_option("--config", help="YAML file instead of the shipped settings.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one hyper-parameter; repeatable.")
    ] = None,
    preset: Preset = None,
    imports: Import = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Print the resolved settings as YAML that `ddpg train --config` accepts."""
    from sb3_ddpg_custom.cli.config.resolve import resolve, to_yaml
    from sb3_ddpg_custom.cli.environments.registry import import_modules, registered_ids

    import_modules(tuple(imports or ()))
    resolved = resolve(
        env,
        config=config,
        overrides=(*([] if preset is None else [f"preset={preset}"]), *(overrides or ())),
        steps=None,
        n_envs=None,
        registered_ids=registered_ids(),
    )
    typer.echo(to_yaml(resolved), nl=False)
