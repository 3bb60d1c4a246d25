"""Errors of training, evaluation and export that a user can correct. Each message is one line with the remedy."""

from __future__ import annotations

__all__ = ["ConfigError", "DataError", "ExportError", "FitError", "RunError", "TrainError"]


class TrainError(Exception):
    """Base of the errors below; the command line prints one line and exits with code 2."""


class ConfigError(TrainError):
    """A configuration is absent, has an unknown key or a value out of range."""


class DataError(TrainError):
    """A data set is absent, incomplete, or has other content than its name promises."""


class ExportError(TrainError, ValueError):
    """The model cannot be exported as asked, or the written file does not score as torch does."""


class FitError(TrainError):
    """The fit cannot continue."""


class RunError(TrainError):
    """A run folder is absent, incomplete, or holds a fit with other settings."""
