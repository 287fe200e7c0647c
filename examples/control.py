"""Control a running session: python examples/control.py ADDRESS [STRENGTH]; prints figures and keeps a picture.

ADDRESS is the one that `malle-rt webcam --web` prints, with its token. docs/control.md has all requests.
"""

import asyncio
import struct
import sys
from pathlib import Path

import aiohttp
from yarl import URL


async def main(address: URL, strength: float) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address / "socket" % address.query, origin=str(address.origin())) as socket,
    ):
        await socket.send_json({"do": "strength", "value": strength})
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                number, _, width, height, clean, _ = struct.unpack_from("<dfHHII", message.data)
                Path("live.jpg").write_bytes(message.data[24 : 24 + clean])
                await socket.send_json({"do": "drawn", "value": number})
            elif (figures := message.json())["kind"] == "statistics":
                print(f"{figures['shown_fps']:.1f} fps, strength {figures['used']:.1f}", flush=True)


asyncio.run(main(URL(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 15.0))
