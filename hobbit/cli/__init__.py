"""The command line: words to a task, errors to one line. Imports torch only once a task runs."""

from __future__ import annotations
