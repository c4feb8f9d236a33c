"""Shop: the refusals of its contexts."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.base import Refused, Words
from contracts.refusals import StillConfirming, WrongState


class ProductNotOnSale(Refused):
    code = "product_not_on_sale"
    ko = Words("판매하지 않는 상품입니다", "더 이상 주문할 수 없는 상품입니다.")
    en = Words("Product not on sale", "This product can no longer be ordered.")


class OutOfStock(Refused):
    code = "out_of_stock"
    ko = Words(
        "재고가 부족합니다", "결제가 취소되었고 입금액을 돌려주어야 합니다. 재고가 들어오면 주문을 되살릴 수 있습니다."
    )
    en = Words(
        "Out of stock",
        "The payment is cancelled and the money owed back. The order can be revived once there is stock.",
    )


class RoundClosed(Refused):
    """`ReturnStock` of the round arrived first: it takes no stock any more."""

    code = "round_closed"
    ko = Words("이미 끝난 결제 회차입니다", "이 회차에는 재고를 뺄 수 없습니다.")
    en = Words("Round closed", "This payment period of the order has ended; no stock is taken for it.")


class OrderWrongState(WrongState):
    order_id: str
    reason: str = ""


class OrderOutOfStock(OutOfStock):
    """The order is PAYMENT_CANCELLED."""

    order_id: str
    current_status: str
    allowed_actions: Sequence[str]
    reason: str = ""


class OrderStillConfirming(StillConfirming):
    """Products does not reply: the order stays CONFIRMING."""

    order_id: str
    current_status: str
    allowed_actions: Sequence[str]
    reason: str = ""


class AmountMismatch(Refused):
    """The amount is not the order's total, which is `expected`, in won."""

    code = "amount_mismatch"
    ko = Words("입금액이 주문 금액과 다릅니다", "바뀐 것은 없습니다. expected에 적힌 금액을 확인해 주세요.")
    en = Words("Amount does not match", "Nothing was changed. See expected for the order's total.")

    expected: int
    order_id: str
    current_status: str
    allowed_actions: Sequence[str]
    reason: str = ""


class DeadlinePassed(Refused):
    """The order was cancelled by its deadline; the money is to be given back."""

    code = "deadline_passed"
    ko = Words("입금 기한이 지난 주문입니다", "입금액을 돌려주거나 주문을 되살려 주세요 (revival).")
    en = Words("Deadline passed", "Give the money back, or revive the order (revival).")

    order_id: str
    current_status: str
    allowed_actions: Sequence[str]
    reason: str = ""
