"""What test workers are given to do; here, since a worker must be able to import it."""

import itertools
import os
import signal
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
