"""DnsDiscovery, the system's resolver and a DNS server, in namespaces of their own: run by tests/edge/test_dns.py.

`unshare --mount --net python tests/support/resolving.py RESOLV_CONF`. Each line of the input is what the server answers
from then on: `{"A": [...], "AAAA": [...]}`, or a number, DNS' code of an error. Each line of the output is a snapshot.
"""

import asyncio
import json
import logging
import socket
import struct
import subprocess
import sys
from typing import Any

from gpt_server.edge.discovery.dns import DnsDiscovery

KINDS = {1: ("A", socket.AF_INET), 28: ("AAAA", socket.AF_INET6)}


class DnsServer(asyncio.DatagramProtocol):
    """Answers every question with what it was told last."""

    answer: Any = 2

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the socket."""
        self._socket: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Answers one question."""
        end = data.index(b"\0", 12) + 5
        kind = struct.unpack("!H", data[end - 4 : end - 2])[0]
        name, family = KINDS.get(kind, ("", socket.AF_INET))
        code, hosts = (self.answer, []) if isinstance(self.answer, int) else (0, self.answer.get(name, []))
        records = [
            struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed
            for packed in (socket.inet_pton(family, host) for host in hosts)
        ]
        head = struct.pack("!2sHHHHH", data[:2], 0x8580 | code, 1, len(records), 0, 0)
        self._socket.sendto(head + data[12:end] + b"".join(records), addr)


async def follow(server: DnsServer) -> None:
    """Takes the server's answers from the input, for as long as there is one."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        server.answer = json.loads(line)
    loop.stop()


async def main() -> None:
    """Prints what discovery says."""
    logging.basicConfig(level=logging.INFO)
    _, server = await asyncio.get_running_loop().create_datagram_endpoint(DnsServer, ("127.0.0.1", 53))
    following = asyncio.create_task(follow(server))
    async for snapshot in DnsDiscovery("replicas.example.:50051", 0.05).watch():
        print(json.dumps(sorted(snapshot.addresses)), flush=True)
    await following


if __name__ == "__main__":
    subprocess.run(["mount", "--bind", sys.argv[1], "/etc/resolv.conf"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    asyncio.run(main())
