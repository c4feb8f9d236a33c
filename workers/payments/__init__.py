"""Payments: charge once, undo whatever became of it, give back what is left.

`charging` takes money and voids it, `looking` answers questions; `provider` is the port through which money moves,
`simulator` the provider that comes with the house.
"""

from workers.payments import charging, looking
from workers.payments.base import worker

__all__ = ["charging", "looking", "worker"]
