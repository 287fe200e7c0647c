"""Room 4: getting frames in and out. Import the file you need; this one imports nothing heavy."""
