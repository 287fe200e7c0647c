"""The live picture and its controls as a page in a browser."""

from malle_rt.live.web.address import WebAddress
from malle_rt.live.web.server import WebServer

__all__ = ["WebAddress", "WebServer"]
