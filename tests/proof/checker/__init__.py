"""Judge a recorded history: every answer must be true, and every promise kept."""

from tests.proof.checker.judge import check
from tests.proof.checker.verdict import Rule, Verdict, Violation

__all__ = ["Rule", "Verdict", "Violation", "check"]
