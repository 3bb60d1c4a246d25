"""Recorded files: CSV, EDF, WFDB."""
