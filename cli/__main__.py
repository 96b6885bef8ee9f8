"""``python -m sb3_ddpg_custom.cli`` is ``ddpg``."""

from sb3_ddpg_custom.cli.app import main

if __name__ == "__main__":
    main()
