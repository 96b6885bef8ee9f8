"""From YAML and ``--set`` to one frozen settings object, and back."""
