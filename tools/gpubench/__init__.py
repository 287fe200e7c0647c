"""Measurements on an NVIDIA GPU: each module is one of them; tools/gpu_suite.py runs them all."""
