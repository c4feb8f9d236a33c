"""The audit: checks the invariants over all stores and names each discrepancy.

assert await wait_until_idle(settings, within=30)
assert not any((await audit(settings)).values())
"""

from ops.audit.money import Totals
from ops.audit.quiescence import pending_work, wait_until_idle
from ops.audit.runner import INVARIANTS, Finding, audit, findings, money_balance

__all__ = ["INVARIANTS", "Finding", "Totals", "audit", "findings", "money_balance", "pending_work", "wait_until_idle"]
