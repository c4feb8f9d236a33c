"""Payments: charge a card, void a charge, refund, and track the bank transfers of the shop's orders.

charges     RequestPayment, VoidPayment: charge once, void on request or when the provider does not reply
refunds     RefundRest, RefundPayment: refund, retried until the provider accepts
refund_log  appends each completed refund to a file, exactly once
transfers   AwaitTransfer, ConfirmTransfer, CancelTransfer: bank transfers of the shop's orders
discrepancies  NoteProviderEvent: what the provider's books say and ours do not
reconciliation the daily comparison of both books
queries     read access to payments and refunds
provider    the port to the payment provider, and the client that limits its calls; `simulator` implements the port
"""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """`worker`, with its handlers, made when it is first asked for: whoever reads the settings needs neither."""
    if name != "worker":
        raise AttributeError(name)
    for handlers in ("charges", "discrepancies", "queries", "reconciliation", "refund_log", "refunds", "transfers"):
        import_module(f"{__name__}.{handlers}")
    return import_module(f"{__name__}.base").worker
