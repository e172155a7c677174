"""Judges a recorded history: was every answer true, and was every promise kept?"""

from tests.faults.checker.judge import check
from tests.faults.checker.verdict import Rule, Verdict, Violation

__all__ = ["Rule", "Verdict", "Violation", "check"]
