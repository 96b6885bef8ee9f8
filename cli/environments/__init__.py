"""From an environment id to envs that can be trained on, with wrappers and monitors."""
