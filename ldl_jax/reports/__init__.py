"""Reports on runs, evaluations and benchmarks, from the files that they leave."""
