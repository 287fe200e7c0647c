"""A long video in segments, kept on the disk: resumed, several at once. Import the file you need."""
