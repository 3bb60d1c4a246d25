"""Paths of the tools, and their modules on the import path."""

from __future__ import annotations

import sys

from tests import ROOT

TOOLS = ROOT / "tools"
if str(TOOLS) not in sys.path:
    sys.path.insert(0, str(TOOLS))  # tools import each other as their scripts do
