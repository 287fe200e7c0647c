"""Ways to run a network's graph. ``select`` chooses one; each file needs its own runtime only."""
