"""What denoisers cost in time, ours beside other people's; tools/peer_speed.py measures and writes it up."""
