"""Messages over a stream socket: eight bytes of length, then the bytes."""

from __future__ import annotations

import asyncio
import socket
import struct

_LENGTH = struct.Struct("!Q")


def send(channel: socket.socket, payload: bytes) -> None:
    """Send one message; blocks until the other end has taken it into its buffer."""
    channel.sendall(_LENGTH.pack(len(payload)))
    channel.sendall(payload)


def receive(channel: socket.socket) -> bytearray:
    """Take one message. Raises EOFError when the other end closed."""
    (length,) = _LENGTH.unpack(_receive_exactly(channel, _LENGTH.size))
    return _receive_exactly(channel, length)


async def send_async(channel: socket.socket, payload: bytes) -> None:
    """Like send, on a non-blocking socket, without holding up the event loop."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(channel, _LENGTH.pack(len(payload)))
    await loop.sock_sendall(channel, payload)


async def receive_async(channel: socket.socket) -> bytearray:
    """Like receive, on a non-blocking socket, without holding up the event loop."""
    (length,) = _LENGTH.unpack(await _receive_exactly_async(channel, _LENGTH.size))
    return await _receive_exactly_async(channel, length)


def _receive_exactly(channel: socket.socket, size_bytes: int) -> bytearray:
    buffer = bytearray(size_bytes)
    rest = memoryview(buffer)
    while rest:
        count = channel.recv_into(rest)
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return buffer


async def _receive_exactly_async(channel: socket.socket, size_bytes: int) -> bytearray:
    loop = asyncio.get_running_loop()
    buffer = bytearray(size_bytes)
    rest = memoryview(buffer)
    while rest:
        count = await loop.sock_recv_into(channel, rest)
        if count == 0:
            raise EOFError
        rest = rest[count:]
    return buffer
