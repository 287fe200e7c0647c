"""TensorRT in both its flavours: our plugin, building engines, keeping them, running them."""
