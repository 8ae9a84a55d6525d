"""A real Dovecot on 127.0.0.1, with its own configuration, certificate authority and mail.

``running_dovecot`` serves benchmarks and fault campaigns as well as tests: it needs no pytest.
Mail is a Maildir++ below its folder and can be written directly, which is fast. Everything it
starts is stopped when the ``with`` ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import imaplib
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services import missing

ODD_USER, ODD_PASSWORD = "odd", 'pä"ss\\w{3}ord €'
_USERS = itertools.count(1)
_FILES = itertools.count(1)

_OAUTH = """
passdb {{
  driver = oauth2
  mechanisms = {mechanisms}
  args = {home}/oauth2.conf
}}
"""
_OAUTH_CHECK = """
introspection_mode = post
introspection_url = {url}
force_introspection = yes
active_attribute = active
active_value = true
username_attribute = username
"""

_CONFIG = """
base_dir = {run}
state_dir = {run}/state
instance_name = fit-triage-{port}
log_path = {home}/dovecot.log
info_log_path = {home}/dovecot-info.log
ssl = yes
ssl_cert = <{home}/server.pem
ssl_key = <{home}/server.key
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
protocols = imap
mail_max_userip_connections = 0
listen = 127.0.0.1
mail_location = maildir:{home}/mail/%u
mail_fsync = never
first_valid_uid = {uid}
first_valid_gid = 0
mail_uid = {uid}
mail_gid = {gid}
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {internal}
auth_failure_delay = 0
auth_mechanisms = plain login{mechanisms}
{oauth}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/users
}}
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail/%u
}}
service imap-login {{
  chroot =
  process_min_avail = 1
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  # A wrong password in one test must not slow down the logins of the next.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


@dataclass
class Mailbox:
    """One account on the running server."""

    server: Dovecot
    user: str
    password: str = field(repr=False)

    def spec(self, folder: str = "INBOX") -> str:
        return f"imaps://{self.user}@127.0.0.1:{self.server.port}/{folder}"

    def plain_spec(self, folder: str = "INBOX") -> str:
        return f"imap://{self.user}@127.0.0.1:{self.server.plain_port}/{folder}"

    @property
    def path(self) -> Path:
        return self.server.home / "mail" / self.user

    def fill(self, messages: Iterable[bytes], *, start: float = 1_790_000_000) -> int:
        """Write *messages* into INBOX, delivered a second apart from *start* on; gives how many."""
        count = 0
        for folder in ("new", "cur", "tmp"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        for count, content in enumerate(messages, 1):
            number = next(_FILES)
            moment = int(start) + count
            path = self.path / "cur" / f"{moment}.M{number % 1_000_000:06}P1.test:2,"
            path.write_bytes(content)
            os.utime(path, (moment, moment))
        self.server.own(self.path)
        return count

    @contextlib.contextmanager
    def session(
        self, folder: str | None = "INBOX", *, readonly: bool = False
    ) -> Iterator[imaplib.IMAP4]:
        """A second session, as a colleague's mail program would hold one."""
        client = imaplib.IMAP4("127.0.0.1", self.server.plain_port, timeout=30)
        try:
            client.login(self.user, self.password)
            if folder is not None:
                client.select(folder, readonly=readonly)
            yield client
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()

    def append(self, content: bytes, folder: str = "INBOX") -> None:
        with self.session(None) as client:  # opening the folder would take \\Recent away
            answer, _ = client.append(folder, "", "", content)
            assert answer == "OK"

    def expunge(self, uids: Iterable[int], folder: str = "INBOX") -> None:
        with self.session(folder) as client:
            client.uid("STORE", ",".join(map(str, uids)), "+FLAGS.SILENT", r"(\Deleted)")
            client.expunge()

    def uids(self, folder: str = "INBOX") -> list[int]:
        with self.session(folder, readonly=True) as client:
            return [int(uid) for uid in client.uid("SEARCH", "ALL")[1][0].split()]

    def snapshot(self, folder: str = "INBOX") -> list[bytes]:
        """UID, flags, date and size of every message, to compare before and after."""
        with self.session(folder, readonly=True) as client:
            return [
                line if isinstance(line, bytes) else line[0]
                for line in client.uid("FETCH", "1:*", "(UID FLAGS INTERNALDATE RFC822.SIZE)")[1]
                if line is not None
            ]

    def forget_uids(self) -> None:
        """Delete Dovecot's index, as a failed restore does: the next session renumbers all mail."""
        for file in self.path.rglob("dovecot*"):
            file.unlink()
        # A new UIDVALIDITY is the second at which it is made.
        time.sleep(1.1)


@dataclass
class Dovecot:
    """The running server: where it listens, whom to trust, and accounts on demand."""

    home: Path
    port: int  # TLS from the first byte
    plain_port: int
    process: subprocess.Popen[bytes]
    password: str = field(repr=False)  # of every account
    uid: int
    gid: int

    @property
    def ca_file(self) -> str:
        return str(self.home / "ca.pem")

    def stop(self) -> None:
        _stop(self.process)

    def start(self) -> None:
        """Start it again, where it was and with the mail it had."""
        self.process = _serve(self.home)
        _wait_until_it_answers(self)

    def mailbox(self, messages: Iterable[bytes] = ()) -> Mailbox:
        """A fresh account with *messages* in its INBOX."""
        box = Mailbox(self, f"user{next(_USERS)}-{secrets.token_hex(3)}", self.password)
        box.fill(messages)
        return box

    def imap_processes(self) -> list[int]:
        """The processes that serve logged-in sessions now, for killing one."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                name, _, rest = status.read_text().partition("(")[2].rpartition(")")
                if name == "imap" and int(rest.split()[1]) == self.process.pid:
                    found.append(int(status.parent.name))
        return found

    def own(self, path: Path) -> None:
        """Hand *path* to the user that the server reads mail as."""
        if os.geteuid() == 0:
            for folder, _, files in os.walk(path):
                os.chown(folder, self.uid, self.gid)
                for name in files:
                    os.chown(os.path.join(folder, name), self.uid, self.gid)  # noqa: PTH118 - fast


@contextlib.contextmanager
def running_dovecot(
    tmp_path: Path | None = None, *, check_url: str = "", mechanisms: str = "xoauth2 oauthbearer"
) -> Iterator[Dovecot]:
    """Start Dovecot, with its mail below *tmp_path* where given, and stop it at the end.

    With a *check_url* it takes access tokens as well, by *mechanisms*, and asks there about each.
    """
    # Its socket paths must be short, and its mail user must be able to reach all of it.
    run = Path(tempfile.mkdtemp(prefix="dovecot-", dir="/tmp"))
    home = Path(tempfile.mkdtemp(prefix="dovecot-", dir=tmp_path)) if tmp_path else run / "home"
    try:
        with _started(run, home, check_url, mechanisms if check_url else "") as server:
            yield server
    finally:
        shutil.rmtree(run, ignore_errors=True)
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def _started(run: Path, home: Path, check_url: str, mechanisms: str) -> Iterator[Dovecot]:
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    (home / "mail").mkdir(parents=True, exist_ok=True)
    _make_certificates(home)
    # One account with a password beyond ASCII; all others share one, so that new ones need no file.
    (home / "users").write_text(f"{ODD_USER}:{{PLAIN}}{ODD_PASSWORD}\n", encoding="utf-8")
    (home / "oauth2.conf").write_text(_OAUTH_CHECK.format(url=check_url))
    password = secrets.token_hex(8)
    _open_the_way(home)
    port, plain_port = _free_ports(2)
    config = home / "dovecot.conf"
    config.write_text(
        _CONFIG.format(
            run=run / "run",
            home=home,
            port=port,
            password=password,
            plain_port=plain_port,
            mechanisms=f" {mechanisms}",
            oauth=_OAUTH.format(home=home, mechanisms=mechanisms) if check_url else "",
            uid=account.pw_uid,
            gid=account.pw_gid,
            internal=account.pw_name,
            group=_group(account.pw_gid),
        )
    )
    if os.geteuid() == 0:
        os.chown(home / "mail", account.pw_uid, account.pw_gid)
    process = _serve(home)
    server = Dovecot(home, port, plain_port, process, password, account.pw_uid, account.pw_gid)
    try:
        _wait_until_it_answers(server)
        yield server
    finally:
        server.stop()


def _serve(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [_program(), "-F", "-c", str(home / "dovecot.conf")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - it only makes one system call
    )  # fmt: skip


def _die_with_parent() -> None:
    """Have the kernel end the server when the test run is killed (Linux; elsewhere no harm)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _program() -> str:
    return shutil.which("dovecot") or "/usr/sbin/dovecot"


def _group(gid: int) -> str:
    import grp

    return grp.getgrgid(gid).gr_name


def _open_the_way(home: Path) -> None:
    """Let the mail user pass through the folders above *home* that are ours and closed."""
    if os.geteuid() != 0:
        return
    for folder in (home, *home.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001 and str(folder).startswith(tempfile.gettempdir()):
            folder.chmod(mode | 0o011)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _make_certificates(home: Path) -> None:
    """An authority of our own, and a certificate of it for 127.0.0.1 and localhost."""
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    _openssl("req", "-x509", *ec, "-days", "2", "-subj", "/CN=Test authority",
             "-addext", "keyUsage=critical,keyCertSign,cRLSign",
             "-keyout", home / "ca.key", "-out", home / "ca.pem")  # fmt: skip
    _openssl("req", *ec, "-subj", "/CN=localhost",
             "-keyout", home / "server.key", "-out", home / "server.csr")  # fmt: skip
    names = home / "names.cnf"
    names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    _openssl("x509", "-req", "-days", "2", "-in", home / "server.csr", "-CA", home / "ca.pem",
             "-CAkey", home / "ca.key", "-CAcreateserial", "-extfile", names,
             "-out", home / "server.pem")  # fmt: skip


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def _wait_until_it_answers(server: Dovecot) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError, ssl.SSLError):
            context = ssl.create_default_context(cafile=server.ca_file)
            with (
                socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
            ):
                if secure.recv(100).startswith(b"* OK"):
                    return
        time.sleep(0.02)
    said = [f.read_text() for f in server.home.glob("dovecot*.log")]
    raise RuntimeError(f"Dovecot does not answer: {' '.join(said)[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the master, which ends its children; the group is killed should it not."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)


@pytest.fixture(scope="session")
def installed_dovecot() -> None:
    """For tests that start servers of their own."""
    if not (shutil.which("dovecot") or Path("/usr/sbin/dovecot").exists()):
        missing("Dovecot", "dovecot-imapd openssl")


@pytest.fixture(scope="session")
def dovecot(installed_dovecot: None) -> Iterator[Dovecot]:  # noqa: ARG001 - a condition
    """One Dovecot for all tests of a run; ask it for a fresh ``mailbox`` each."""
    # Not below pytest's own folder: each run of pytest closes that to all other users.
    with running_dovecot() as server:
        yield server
