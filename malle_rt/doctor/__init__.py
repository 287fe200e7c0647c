"""What this machine has, what malle-rt will use of it, and the one command that adds what is missing."""
