"""Serve localstripe on the loopback interface; the only argument is the port."""

import sys

from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app

Store.dump_to_disk = lambda self: None  # it would write to one file in /tmp, whoever else does
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
