"""What studies of networks have in common: a file that a cut cannot hurt, and networks as calls that can be timed."""
