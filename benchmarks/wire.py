"""Just enough of RFC 6455 on a raw socket that the client is never what is measured."""

import base64
import os
import socket
import struct

ZERO_MASK = bytes(4)  # masked by zeros: valid, and nothing to compute


def handshake_request(port: int, token: str = "token") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws/chat/ HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: access_token, {token}\r\n\r\n"
    ).encode()


def frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return one client frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 65_536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + ZERO_MASK + payload


def open_socket(port: int, token: str = "token") -> socket.socket:
    """Connect and read up to and with `hello`. Raises RuntimeError with what came instead."""
    found = socket.create_connection(("127.0.0.1", port), 20)
    found.sendall(handshake_request(port, token))
    data = b""
    while b'"hello"' not in data:
        more = found.recv(65_536)
        if not more:
            raise RuntimeError(f"the socket was refused: {data!r}")
        data += more
    if not data.startswith(b"HTTP/1.1 101"):
        raise RuntimeError(f"the socket was refused: {data[:200]!r}")
    found.setblocking(False)
    return found
