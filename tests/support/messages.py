"""Messages of the runtime as messages of aio-pika, for tests that publish without a `Bus`."""

from __future__ import annotations

import aio_pika

from workers.runtime.messaging.accelerator.codec import Publishing


def as_message(message: Publishing) -> aio_pika.Message:
    """The same message for aio-pika."""
    return aio_pika.Message(
        message.body,
        message_id=message.message_id,
        type=message.type,
        app_id=message.app_id,
        content_type="application/json",
        delivery_mode=2 if message.persistent else 1,
        headers=dict(message.headers),
        correlation_id=message.correlation_id or None,
        reply_to=message.reply_to or None,
        expiration=message.expiration,
    )
