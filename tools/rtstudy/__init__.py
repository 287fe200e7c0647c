"""What the parts of MalleNet-RT are worth: variants of a small one, trained, timed and compared."""
