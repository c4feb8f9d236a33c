"""Café: the refusals of its contexts."""

from __future__ import annotations

from contracts.base import Refused, Words


class SoldOut(Refused):
    code = "sold_out"
    ko = Words("품절되었습니다", "다른 메뉴를 골라 주세요.")
    en = Words("Sold out", "Choose something else.")


class NotForSale(Refused):
    """The item has no price yet."""

    code = "not_for_sale"
    ko = Words("아직 판매하지 않는 메뉴입니다", "가격이 정해지면 주문할 수 있습니다.")
    en = Words("Not for sale yet", "It can be ordered once it has a price.")
