"""The picture as a person sees it: split, overlay, keys, window."""
