"""The ``ddpg`` command."""
