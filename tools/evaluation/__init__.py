"""Quality on stills and clips, of our networks and of those they are compared with; tools/evaluate.py prints it."""
