"""Frames through a network on an NVIDIA GPU: copies, kernels and the network on three CUDA streams."""
