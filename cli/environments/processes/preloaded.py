"""What the server imports before it is asked for the first process."""

import gc

from sb3_ddpg_custom.cli.environments.processes import worker as worker

# Looking for garbage writes into every object: each process would soon have a copy of them all.
gc.collect()
gc.freeze()
