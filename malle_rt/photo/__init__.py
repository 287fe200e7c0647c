"""Photographs: one picture, array or file, denoised with a network of the paper's kind."""
