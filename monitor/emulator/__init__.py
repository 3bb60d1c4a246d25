"""Emulator of a serial ECG device: plays any stored or simulated source, with faults of real devices."""
