"""Envs in processes of their own: how they are made there, asked, and brought to an end."""

#: for :func:`sb3_ddpg_custom.cli.child_processes.start_server`
PRELOADED = ("sb3_ddpg_custom.cli.environments.processes.preloaded",)
