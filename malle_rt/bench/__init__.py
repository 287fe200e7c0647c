"""``malle-rt bench``: how fast each way to run each network is here, with the proof that it ran."""
