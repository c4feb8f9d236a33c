"""The café: the checks of pickup numbers and of the answers to requests."""

from __future__ import annotations

from datetime import timedelta

from contracts.cafe.menu import MenuItemChanged, MenuItemRegistered, RegisterMenuItem
from contracts.cafe.orders import OrderEvent, PlaceOrder
from ops.audit.invariant import Publication, SystemChecks, TableComparison, topics_of, view_comparison
from ops.audit.stores import Stores
from storage.cafe import report


async def pickup_numbers(stores: Stores) -> list[str]:
    """Check that the orders of each day in Seoul have the pickup numbers from 1 on, without gaps or duplicates."""
    return [
        f"{row['day']}: {row['orders']} orders have {row['numbers']} pickup numbers from {row['first']} to "
        f"{row['last']}, and {row['given']} were given"
        for row in await stores.rows("""
            with orders as (
              select (created_at at time zone 'Asia/Seoul')::date as day, count(*) as orders,
                count(distinct pickup_number) as numbers, min(pickup_number) as first, max(pickup_number) as last
              from <cafe_orders.orders> group by 1)
            select day, coalesce(orders, 0) as orders, coalesce(numbers, 0) as numbers, first, o.last,
              coalesce(g.last, 0) as given
            from orders o full join <cafe_orders.pickup_numbers> g using (day)
            where (orders, numbers, first, o.last) is distinct from (g.last::bigint, g.last::bigint, 1, g.last)
            order by day""")
    ]


async def answers(stores: Stores) -> list[str]:
    """Check that each kept answer agrees with its order, and that each order has its request in the inbox."""
    found = [
        f"order {row['id']} was answered for, and is not there"
        if row["order_id"] is None
        else f"order {row['id']} was refused ({row['code']}), and is there"
        if row["refused"]
        else f"order {row['id']} was answered with another order"
        for row in await stores.rows(
            """select i.id, i.refused, o.order_id, case when i.refused then i.answer::json ->> 'code' end as code
            from <cafe_orders.inbox> i left join <cafe_orders.orders> o on o.order_id = i.id
            where i.topic = $1 and i.state = 'done' and i.answer is not null
              and (i.refused = (o.order_id is not null) or (not i.refused and strpos(i.answer, i.id::text) = 0))
            order by i.id""",
            PlaceOrder.topic,
        )
    ]
    kept = timedelta(days=stores.settings.keep_answers_days) - timedelta(hours=1)
    found += [
        f"order {row['order_id']} has no request in the inbox"
        for row in await stores.rows(
            """select order_id from <cafe_orders.orders> o where created_at > now() - $2::interval
              and not exists (select from <cafe_orders.inbox> i where i.id = o.order_id and i.topic = $1)
            order by order_id""",
            PlaceOrder.topic,
            kept,
        )
    ]
    return found + [
        f"menu item {row['id']} was answered for, and is not there"
        for row in await stores.rows(
            """select id from <cafe_menu.inbox> i
            where topic = $1 and state = 'done' and not refused and answer is not null
              and not exists (select from <cafe_menu.menu_items> m where m.menu_item_id = i.id) order by id""",
            RegisterMenuItem.topic,
        )
    ]


CHECKS = SystemChecks(
    tables={
        "cafe_menu": ("menu_items", "inbox"),
        "cafe_orders": ("orders", "pickup_numbers", "menu_items", "inbox"),
        "cafe_report": ("generations", "menu_items", "orders", "timeline"),
    },
    writers={"cafe.menu": "cafe_menu", "cafe.orders": "cafe_orders"},
    views=[report.tables],
    comparisons=[
        TableComparison("menu item", "menu_item_id", "cafe_menu.menu_items", "cafe_orders.menu_items", ["status"]),
        view_comparison(report.tables, report.menu_items, "menu_item_id", "cafe_menu.menu_items", what="menu item"),
        view_comparison(report.tables, report.orders, "order_id", "cafe_orders.orders", what="cafe order"),
    ],
    publications=[
        Publication(
            "menu item", "cafe_menu.menu_items", "menu_item_id", [MenuItemRegistered.topic, MenuItemChanged.topic]
        ),
        Publication("cafe order", "cafe_orders.orders", "order_id", topics_of(OrderEvent)),
    ],
    checks={"I3": [pickup_numbers], "I9": [answers]},
)
