"""The CUDA driver and our kernels: pointers, streams and launches; no framework, nothing about video."""
