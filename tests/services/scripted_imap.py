"""An IMAP server that answers as a test says: for what no real server can be brought to do.

It speaks plaintext on 127.0.0.1, serves one connection after the other, and remembers every line.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

CUT = b"<cut>"  # as an answer: close the connection without a word
STALL = b"<stall>"  # as an answer: say nothing any more
DRIP = b"<drip>"  # before an answer: send it a byte at a time, fifty a second

Answer = bytes | Callable[[str], bytes]

DEFAULTS: dict[str, Answer] = {
    "GREETING": b"* OK ready\r\n",
    "CAPABILITY": b"* CAPABILITY IMAP4rev1\r\n",
    "LOGIN": b"",
    "EXAMINE": b"* 3 EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n* OK [UIDNEXT 4] next\r\n",
    "LIST": b'* LIST () "/" INBOX\r\n',
    "LOGOUT": b"* BYE\r\n",
}


def folder_answers(
    mail: Mapping[int, bytes], *, uidvalidity: int = 7, uidnext: int | None = None
) -> dict[str, Answer]:
    """What a sound server answers that keeps *mail* by UID; read anew at each command."""

    def opened(_: str) -> bytes:
        following = max(mail, default=0) + 1 if uidnext is None else uidnext
        said = (len(mail), uidvalidity, following)
        return b"* %d EXISTS\r\n* OK [UIDVALIDITY %d] valid\r\n* OK [UIDNEXT %d] next\r\n" % said

    def search(command: str) -> bytes:
        asked = command.rpartition(" ")[2]
        found = sorted(mail)[:1] if asked == "1" else _asked(asked, mail)  # "1" is no UID
        return b"* SEARCH" + b"".join(b" %d" % uid for uid in found) + b"\r\n"

    def fetch(command: str) -> bytes:
        asked = _asked(command.split()[2], mail)
        describe = described if "RFC822.SIZE" in command else given_out
        return b"".join(describe(uid, mail[uid]) for uid in asked)

    return {"EXAMINE": opened, "SELECT": opened, "UID SEARCH": search, "UID FETCH": fetch}


def described(uid: int, content: bytes) -> bytes:
    date = b"17-Nov-2026 10:%02d:%02d +0100" % divmod(uid % 3600, 60)
    values = (uid, uid, len(content), date)
    return b'* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "%s")\r\n' % values


def given_out(uid: int, content: bytes) -> bytes:
    return b"* %d FETCH (UID %d BODY[] {%d}\r\n%s)\r\n" % (uid, uid, len(content), content)


def _asked(numbers: str, mail: Mapping[int, bytes]) -> list[int]:
    """The UIDs of *mail* in a set such as ``1,3:5,7:*``; as everywhere, ``n:*`` holds the last."""
    last = str(max(mail, default=0))
    found: set[int] = set()
    for part in numbers.replace("*", last).split(","):
        low, _, high = part.partition(":")
        first, final = sorted((int(low), int(high or low)))
        found |= {uid for uid in mail if first <= uid <= final}
    return sorted(found)


@dataclass
class ScriptedImap:
    port: int
    lines: list[str] = field(default_factory=list)

    @property
    def spec(self) -> str:
        return f"imap://support@127.0.0.1:{self.port}/INBOX"


@contextlib.contextmanager
def scripted_imap(answers: Mapping[str, Answer]) -> Iterator[ScriptedImap]:
    """Serve until the ``with`` ends; what is changed in *answers* meanwhile holds from then on.

    A key of *answers* is the beginning of a command without its tag, the longest that fits wins. An
    answer is what stands before ``TAG OK done``, unless it holds ``TAG`` itself.
    """
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        server = ScriptedImap(listener.getsockname()[1])
        script = ChainMap(answers, DEFAULTS)  # type: ignore[arg-type]  # it is only read
        thread = threading.Thread(target=_serve, args=(listener, server, script, stop))
        thread.start()
        try:
            yield server
        finally:
            stop.set()
            with contextlib.suppress(OSError):  # wakes it
                socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
            thread.join(10)


def _serve(
    listener: socket.socket,
    server: ScriptedImap,
    script: Mapping[str, Answer],
    stop: threading.Event,
) -> None:
    while not stop.is_set():
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(0.05)
                _converse(connection, server, script, stop)


def _converse(
    connection: socket.socket,
    server: ScriptedImap,
    script: Mapping[str, Answer],
    stop: threading.Event,
) -> None:
    connection.sendall(_bytes_of(script["GREETING"], ""))
    waiting = b""
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            received = connection.recv(65536)
            if not received:
                return
            waiting += received
        while b"\r\n" in waiting:
            line, _, waiting = waiting.partition(b"\r\n")
            command = line.decode("latin-1")
            server.lines.append(command)
            tag, _, rest = command.partition(" ")
            key = max((k for k in script if rest.startswith(k)), key=len, default="")
            answer = _bytes_of(script[key], rest) if key else b"TAG BAD what?\r\n"
            if answer == CUT:
                return
            if answer == STALL:
                stop.wait()
                return
            if b"TAG" not in answer:
                answer += b"TAG OK done\r\n"
            answer = answer.replace(b"TAG", tag.encode())
            if answer.startswith(DRIP):
                _drip(connection, answer.removeprefix(DRIP), stop)
            else:
                connection.settimeout(30)  # for all of it: a client may be slow with much mail
                connection.sendall(answer)
                connection.settimeout(0.05)


def _drip(connection: socket.socket, answer: bytes, stop: threading.Event) -> None:
    for byte in answer:
        connection.sendall(bytes([byte]))
        if stop.wait(0.02):
            return


def _bytes_of(answer: Answer, command: str) -> bytes:
    return answer if isinstance(answer, bytes) else answer(command)
