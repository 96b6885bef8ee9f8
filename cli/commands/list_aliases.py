"""``ddpg list``."""

from sb3_ddpg_custom.cli.shared_options import Debug


def list_command(debug: Debug = False) -> None:  # noqa: ARG001
    """Show the environments with settings of their own, and what each needs."""
    from rich.table import Table

    from sb3_ddpg_custom.cli.config.resolve import aliases
    from sb3_ddpg_custom.cli.environments.registry import needed_extra
    from sb3_ddpg_custom.cli.screen import screen

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("alias", no_wrap=True)
    table.add_column("environment", no_wrap=True)
    table.add_column("steps", justify="right")
    table.add_column("extra")
    for name, alias in aliases().items():
        table.add_row(name, alias.env_id, f"{alias.n_timesteps:,}", needed_extra(alias.env_id) or "")
    console = screen()
    console.print(table)
    console.print(
        'Any other registered id with a Box action space works too. An extra: pip install "sb3-ddpg-custom[mujoco]"'
    )
