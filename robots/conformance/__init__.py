"""The rules that every `Robot` keeps, as checks to run over a driver, a twin or a fake.

They believe nothing that `Sent` says: they measure joints and base before and after. A driver's test file:

    @pytest.mark.parametrize("check", CHECKS, ids=name_of)
    def test_conformance(check: Check) -> None:
        verify(check, lambda: MyRobot(MyOptions()), Options())
"""

from robots.conformance.options import Options
from robots.conformance.report import Report, Result
from robots.conformance.subject import Make, Subject
from robots.conformance.suite import CHECKS, Check, chosen, examine, name_of, rule_of, run, verify
from robots.conformance.verdict import Failed, NotApplicable

__all__ = [
    "CHECKS",
    "Check",
    "Failed",
    "Make",
    "NotApplicable",
    "Options",
    "Report",
    "Result",
    "Subject",
    "chosen",
    "examine",
    "name_of",
    "rule_of",
    "run",
    "verify",
]
