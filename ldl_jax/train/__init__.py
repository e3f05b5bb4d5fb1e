"""Training: state, step, loop, generations and checkpoints."""
