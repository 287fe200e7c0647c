"""Measuring live sessions from outside: a camera with a clock in its picture, and eyes that read it on the screen."""
