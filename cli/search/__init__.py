"""Looking for better hyper-parameters, with Optuna."""
