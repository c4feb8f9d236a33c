"""The stores of an idle café, and scripts that make them inconsistent."""

from __future__ import annotations

from uuid import UUID

from tests.ops.contradictions import Case

ITEM, ORDERED, CANCELLED, REFUSED = (UUID(int=0xCAFE00 + number) for number in range(4))
"""A menu item, an order of it, one that was cancelled, and a request that was refused."""

NAMES = {"item": ITEM, "ordered": ORDERED, "order_cancelled": CANCELLED, "order_refused": REFUSED}

CAFE = f"""
    insert into cafe_menu.menu_items (menu_item_id, name, price, status, registered_by, changed_by, version)
      values ('{ITEM}', 'Latte', 4500, 'SOLD_OUT', 'kim', 'lee', 2);
    insert into cafe_menu.inbox (id, topic, digest, owner, state, answer, story_id, actor)
      select menu_item_id, 'cafe.menu.register_menu_item', '', menu_item_id, 'done', row_to_json(m)::text,
        menu_item_id, 'staff:kim' from cafe_menu.menu_items m;
    insert into cafe_orders.menu_items select menu_item_id, status, version from cafe_menu.menu_items;
    insert into cafe_orders.orders
        (order_id, menu_item_id, member_id, name, quantity, price, total, pickup_number, status, version)
      values ('{ORDERED}', '{ITEM}', 'minji', 'Latte', 2, 4500, 9000, 1, 'ORDERED', 1),
        ('{CANCELLED}', '{ITEM}', 'jun', 'Latte', 1, 4500, 4500, 2, 'CANCELLED', 2);
    insert into cafe_orders.pickup_numbers select pickup_day, max(pickup_number) from cafe_orders.orders group by 1;
    insert into cafe_orders.inbox (id, topic, digest, owner, state, answer, refused, story_id, actor)
      select order_id, 'cafe.orders.place_order', '', order_id, 'done', row_to_json(o)::text, false, order_id, ''
      from cafe_orders.orders o
      union all select '{REFUSED}', 'cafe.orders.place_order', '', '{REFUSED}', 'done', '{{"code": "sold_out"}}', true,
        '{REFUSED}', '';
    insert into cafe_report.menu_items
      select 1, menu_item_id, version, name, price, status, registered_by, changed_by, created_at, modified_at
      from cafe_menu.menu_items;
    insert into cafe_report.orders select 1, order_id, version, menu_item_id, created_at from cafe_orders.orders;
    create temp table served as
      select menu_item_id as id, v as version, 'cafe.menu.menu_item_' || case v when 1 then 'registered' else 'changed'
        end as topic, status from cafe_menu.menu_items, generate_series(1, version) v
      union all
      select order_id, v, 'cafe.orders.order_' || case v when 1 then 'placed' else 'cancelled' end, status
      from cafe_orders.orders, generate_series(1, version) v;
    insert into cafe_report.timeline (generation, subject, version, what, at, status)
      select 1, id, version, topic, now(), status from served;
    insert into journal.events (position, message_id, topic, context, story_id, actor, at, things, body)
      select 1000000 + row_number() over (), gen_random_uuid(), topic, topic, id, '', now(), array[id],
        json_build_object('version', version)::text from served;
    drop table served"""

CONTRADICTIONS = [
    Case(
        "I1",
        "update cafe_orders.inbox set state = 'started', due_at = now() - interval '2 minutes'",
        "which is overdue",
    ),
    Case(
        "I3",
        "update cafe_orders.orders set pickup_number = 3 where pickup_number = 2",
        "2 orders have 2 pickup numbers from 1 to 3, and 2 were given",
    ),
    Case(
        "I3",
        """alter table cafe_orders.orders drop constraint orders_pickup_day_pickup_number_key;
        update cafe_orders.orders set pickup_number = 1""",
        "2 orders have 1 pickup numbers from 1 to 1, and 2 were given",
    ),
    Case("I3", "update cafe_orders.pickup_numbers set last = 3", "from 1 to 2, and 3 were given"),
    Case("I3", "delete from cafe_orders.pickup_numbers", "from 1 to 2, and 0 were given"),
    Case("I5", "delete from cafe_orders.menu_items", "orders has not received menu item {item}, version 2"),
    Case("I5", "delete from cafe_report.menu_items", "report has not received menu item {item}, version 2"),
    Case(
        "I5",
        "delete from cafe_report.orders where order_id = '{ordered}'",
        "report has not received cafe order {ordered}, version 1",
    ),
    Case(
        "I5",
        "update cafe_orders.menu_items set version = 1",
        "orders has version 1 of menu item {item}, its writer version 2",
    ),
    Case(
        "I5",
        "delete from journal.events where topic = 'cafe.orders.order_placed' and story_id = '{order_cancelled}'",
        "the journal has 1 of 2 versions of cafe order {order_cancelled}",
    ),
    Case(
        "I6",
        """insert into cafe_report.timeline
        select generation, subject, version, 'MenuItemRegistered', at, status from cafe_report.timeline
        where subject = '{item}' and version = 2""",
        "version 2 of {item} was published by MenuItemRegistered, cafe.menu.menu_item_changed",
    ),
    Case(
        "I7",
        "update cafe_report.menu_items set version = 1",
        "report shows version 1 of menu item {item}, and has received version 2",
    ),
    Case(
        "I7",
        "delete from cafe_report.timeline where subject = '{order_cancelled}' and version = 1",
        "report shows version 2 of cafe order {order_cancelled}, and its timeline has 1 versions",
    ),
    Case(
        "I8",
        "update cafe_report.menu_items set price = 1, changed_by = 'kim'",
        "menu item {item}: report does not have the price, changed_by of its writer",
    ),
    Case(
        "I8",
        "update cafe_orders.menu_items set status = 'AVAILABLE'",
        "menu item {item}: orders does not have the status of its writer",
    ),
    Case(
        "I9",
        "delete from cafe_orders.orders where order_id = '{ordered}'",
        "order {ordered} was answered for, and is not there",
    ),
    Case(
        "I9",
        "update cafe_orders.inbox set answer = '{{}}' where id = '{ordered}'",
        "order {ordered} was answered with another order",
    ),
    Case(
        "I9",
        "update cafe_orders.orders set order_id = '{order_refused}' where order_id = '{ordered}'",
        "order {order_refused} was refused (sold_out), and is there",
    ),
    Case(
        "I9",
        "delete from cafe_orders.inbox where id = '{ordered}'",
        "order {ordered} has no request in the inbox",
    ),
    Case("I9", "delete from cafe_menu.menu_items", "menu item {item} was answered for, and is not there"),
]
