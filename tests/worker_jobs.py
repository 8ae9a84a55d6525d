"""What test workers are given to do; here, since a worker must be able to import it."""

import ctypes
import itertools
import os
import signal
import socket
import struct
from collections.abc import Sequence


def double(numbers: Sequence[int]) -> list[int]:
    return [2 * number for number in numbers]


def double_or_die(numbers: Sequence[int]) -> list[int]:
    """Die as by the kernel's hand over any negative number."""
    if any(number < 0 for number in numbers):
        os.kill(os.getpid(), signal.SIGKILL)
    return double(numbers)


def process_id(numbers: Sequence[int]) -> list[int]:
    return [os.getpid() for _ in numbers]


def double_slowly(numbers: Sequence[int]) -> list[int]:
    """Compute for ever over any negative number, in C, where no Python code gets a say."""
    if any(number < 0 for number in numbers):
        sum(itertools.repeat(1))
    return double(numbers)


def double_hugely(numbers: Sequence[int]) -> list[int]:
    """Ask for more memory than there is over any negative number."""
    if any(number < 0 for number in numbers):
        bytearray(1 << 40)
    return double(numbers)


def never_lives(numbers: Sequence[int]) -> list[int]:
    """Find no room, whatever there is to do."""
    bytearray(1 << 60)
    return double(numbers)


def dies_at_once(numbers: Sequence[int]) -> list[int]:
    """End as where the kernel is out of memory, whatever there is to do."""
    os.kill(os.getpid(), signal.SIGKILL)
    return double(numbers)


def reach_out(ports: Sequence[int]) -> list[list[str]]:
    """Try to reach a *port* of this machine in every way; how each try ended."""
    return [[_outcome(way, port) for way in (_by_tcp, _by_udp, _by_name, _by_c)] for port in ports]


def _outcome(way, port):
    try:
        return way(port) or "reached"
    except OSError as error:
        return error.strerror


def _by_tcp(port):
    socket.create_connection(("127.0.0.1", port), timeout=5).close()


def _by_udp(port):
    with socket.socket(type=socket.SOCK_DGRAM) as line:
        line.sendto(b"hello", ("127.0.0.1", port))


def _by_name(_):
    socket.getaddrinfo("localhost", 80)


def _by_c(port):
    """As a library in C would, of which Python knows nothing."""
    address = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, b"\x7f\0\0\1")
    with socket.socket() as line:
        failed = ctypes.CDLL(None).connect(line.fileno(), address, len(address))
    return "no way" if failed else ""
