"""Where runs are computed: processes here, a Ray cluster, Slurm."""
