"""What ``tools/compare.py`` is made of: noisy clips, the tools compared, their tuning, and what is measured."""
