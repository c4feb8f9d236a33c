"""Rules of pricing, without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.ticketing.pricing import Grade, Policy, PolicyKind, Price, PriceLine


def price_for(grade: Grade, base: int, policies: Sequence[Policy]) -> Price:
    """The price: `base` less the policies for all grades, then the VIP policies, in the given order; never below 0.

    A percentage applies to the remaining price, and is rounded down to whole won.
    """
    everybody = [policy for policy in policies if policy.grade is None]
    extras = [policy for policy in policies if policy.grade is Grade.VIP and grade is Grade.VIP]
    left, lines = base, []
    for policy in [*everybody, *extras]:
        amount = left * policy.value // 100 if policy.kind is PolicyKind.PERCENT else min(policy.value, left)
        line = {name: getattr(policy, name) for name in ("policy_id", "name", "kind", "value", "valid_until")}
        lines.append(PriceLine(**line, amount=amount))
        left -= amount
    return Price(base=base, lines=lines, total=left, grade=grade)
