"""Payments: charge once, undo whatever became of it, give back what is left.

`charging` takes money and voids it, `refunding` gives it back, `refund_log` writes down what was given back, `looking`
answers queries. `provider` is the port through which money moves, `simulator` the provider that comes with the house.
`transfers` keeps the bank transfers of the shop's orders.
"""

from workers.payments import charging, looking, refund_log, refunding, transfers
from workers.payments.base import worker

__all__ = ["charging", "looking", "refund_log", "refunding", "transfers", "worker"]
