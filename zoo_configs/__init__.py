"""One YAML file of hyper-parameters per environment alias, in rl_zoo3's format."""
