"""Starts Home Assistant's core as its own program does, without its web pages; run by .ha's Python.

What it otherwise sets up by default wants packages that are not installed, and it would fall into its recovery mode.
"""

import sys

import homeassistant.__main__ as program
from homeassistant import bootstrap

bootstrap.DEFAULT_INTEGRATIONS = {"logger"}
bootstrap.CRITICAL_INTEGRATIONS = set()
bootstrap.DEFAULT_INTEGRATIONS_RECOVERY_MODE = set()
sys.exit(program.main())
