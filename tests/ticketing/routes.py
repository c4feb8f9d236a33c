"""The routes of ticketing in the table of all routes: method, path, body, roles by initial, message."""

from __future__ import annotations

from typing import Any

ID = "00000000-0000-4000-8000-000000000001"

ROUTES: list[tuple[str, str, Any, str, str]] = [
    (
        "POST",
        "/v1/ticketing/tickets",
        {"name": "Up", "starts_at": "2026-01-01T00:00:00Z", "ends_at": "2099-01-01T00:00:00Z", "base_price": 1000},
        "so",
        "ticketing.tickets.register_ticket",
    ),
    ("GET", "/v1/ticketing/tickets", None, "cso", "ticketing.tickets.list_tickets"),
    ("GET", f"/v1/ticketing/tickets/{ID}", None, "cso", "ticketing.tickets.show_ticket"),
    ("PATCH", f"/v1/ticketing/tickets/{ID}", {"name": "Down"}, "so", "ticketing.tickets.change_ticket"),
    (
        "POST",
        "/v1/ticketing/discount-policies",
        {"name": "sale", "kind": "percent", "value": 10},
        "so",
        "ticketing.pricing.create_policy",
    ),
    ("GET", "/v1/ticketing/discount-policies", None, "so", "ticketing.pricing.list_policies"),
    ("GET", f"/v1/ticketing/discount-policies/{ID}", None, "so", "ticketing.pricing.show_policy"),
    ("DELETE", f"/v1/ticketing/discount-policies/{ID}", None, "so", "ticketing.pricing.end_policy"),
    ("GET", "/v1/ticketing/prices", None, "cso", "ticketing.pricing.list_prices"),
    ("GET", f"/v1/ticketing/prices/{ID}", None, "cso", "ticketing.pricing.show_price"),
    ("POST", "/v1/ticketing/reservations", {"ticket_id": ID}, "c", "ticketing.reservations.reserve_ticket"),
    (
        "POST",
        f"/v1/ticketing/reservations/{ID}/cancellation",
        {},
        "cso",
        "ticketing.reservations.cancel_reservation",
    ),
    ("GET", "/v1/ticketing/reservations", None, "cso", "ticketing.reservations.list_reservations"),
    ("GET", f"/v1/ticketing/reservations/{ID}", None, "cso", "ticketing.reservations.show_reservation"),
    ("GET", "/v1/ticketing/board", None, "cso", "ticketing.board.list_board"),
    ("GET", "/v1/ticketing/board/reservations", None, "cso", "ticketing.board.list_board_reservations"),
    ("GET", f"/v1/ticketing/board/reservations/{ID}", None, "cso", "ticketing.board.show_board_reservation"),
    ("GET", f"/v1/ticketing/board/{ID}", None, "cso", "ticketing.board.show_board"),
]
CREATED: dict[str, str] = {"tickets": "ticket_id", "discount-policies": "policy_id"}
