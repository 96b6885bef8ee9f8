"""Many runs: environments, settings and seeds."""
