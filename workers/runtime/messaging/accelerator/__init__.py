"""Below aio-pika: frames encoded, read and written together, and deliveries dispatched where they were read.

Off until `enable` is called, and then only with the versions of aiormq and pamqp that the tests ran with. Decision 0001
has the figures; `YEYAK_AMQP_ACCELERATOR=off` keeps everything with the plain libraries.
"""

from __future__ import annotations

from importlib.metadata import version

import structlog

from workers.runtime.messaging.accelerator import dispatch, frame_reader
from workers.runtime.observability.log_events import ACCELERATOR_DISABLED
from workers.runtime.settings import Settings

log = structlog.get_logger()

TESTED = {"aiormq": "7.2.", "pamqp": "4.0."}
"""How the versions begin that the delivery and fault suites ran with."""

_enabled = False


def enable() -> bool:
    """Serve the connections that are opened from now on; False, with a warning, for versions that were not tested."""
    global _enabled
    found = {name: version(name) for name in TESTED}
    if any(not found[name].startswith(beginning) for name, beginning in TESTED.items()):
        log.warning(ACCELERATOR_DISABLED, tested=TESTED, found=found)
        return False
    frame_reader.install()
    dispatch.install()
    _enabled = True
    return True


def enable_by(settings: Settings) -> None:
    """Serve the connections to come, unless the settings switch it off."""
    if settings.amqp_accelerator == "on":
        enable()


def disable() -> None:
    """Serve the connections that are opened from now on with the plain libraries."""
    global _enabled
    frame_reader.uninstall()
    dispatch.uninstall()
    _enabled = False


def is_enabled() -> bool:
    return _enabled
