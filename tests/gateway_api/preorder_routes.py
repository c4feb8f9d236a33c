"""The routes of phone pre-order in the table of all routes."""

from __future__ import annotations

from typing import Any


def lines(id: str, card: dict[str, str]) -> list[tuple[str, str, Any, str, str]]:
    """Return method, path, body, allowed roles (customer, staff, operator) and message of each route."""
    base, wish = "/v1/preorder", {"product_id": id, "address": "Seoul", "payment": card}
    return [
        ("POST", f"{base}/products", {"name": "Haneul 9", "price": 1}, "so", "preorder.products.register_product"),
        ("GET", f"{base}/products", None, "cso", "preorder.products.list_products"),
        ("GET", f"{base}/products/{id}", None, "cso", "preorder.products.show_product"),
        ("PATCH", f"{base}/products/{id}", {"quota": 0}, "so", "preorder.products.change_product"),
        ("POST", f"{base}/reservations", wish, "c", "preorder.reservations.reserve_phone"),
        ("POST", f"{base}/reservations/{id}/cancellation", {}, "cso", "preorder.reservations.cancel_reservation"),
        ("GET", f"{base}/reservations", None, "cso", "preorder.reservations.list_reservations"),
        ("GET", f"{base}/reservations/{id}", None, "cso", "preorder.reservations.show_reservation"),
        ("GET", f"{base}/receipts", None, "cso", "preorder.receipts.list_receipts"),
        ("GET", f"{base}/receipts/{id}", None, "cso", "preorder.receipts.show_receipt"),
        ("GET", f"{base}/my-reservations", None, "cso", "preorder.my_reservations.list_my_reservations"),
        ("GET", f"{base}/my-reservations/{id}", None, "cso", "preorder.my_reservations.show_my_reservation"),
    ]
