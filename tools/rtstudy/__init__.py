"""Variants of rt-s, one property changed at a time; tools/study_rt.py trains and times them and writes them up."""
