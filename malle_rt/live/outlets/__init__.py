"""Where live pictures go besides viewers: recordings, virtual cameras, network addresses."""
