"""Python loads this at its start in every process whose PYTHONPATH names this folder; forked processes keep it.

Every address that is not of this machine is refused, and so is every name that a name server would be asked for. Each
attempt is one line of JSON in the file that CONNECTIONS_ATTEMPTED names: the command, the event, the address, the stack.
"""

import errno
import json
import os
import sys
import traceback

ATTEMPTED = os.environ.get("CONNECTIONS_ATTEMPTED")
STARTED = os.environ.get("CONNECTIONS_STARTED")
TO_AN_ADDRESS = ("socket.connect", "socket.sendto", "socket.sendmsg")  # (socket, address)
OF_A_NAME = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")


def is_here(host):
    """Whether a host, or the address of a socket of another kind, is on this machine."""
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if not isinstance(host, str) or host in ("", "localhost", "0.0.0.0", "::"):
        return True  # None: where one listens; a number: netlink
    return host.startswith("127.") or host.partition("%")[0] in ("::1", "::ffff:127.0.0.1")


def host_of(event, arguments):
    address = arguments[0] if event in OF_A_NAME else arguments[1]
    if isinstance(address, tuple):
        return address[0]
    return address if event in OF_A_NAME else None  # a path: a socket of Unix


def stack():
    frames = [f for f in traceback.extract_stack() if f.filename != __file__ and "importlib" not in f.filename]
    return [f"{'/'.join(f.filename.rsplit('/', 3)[1:])}:{f.lineno} {f.name}" for f in frames[-40:]]


def write(path, **facts):
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps({"pid": os.getpid(), "command": sys.orig_argv, **facts}) + "\n")


def guard(event, arguments):
    if event not in TO_AN_ADDRESS and event not in OF_A_NAME:
        return
    host = host_of(event, arguments)
    if is_here(host):
        return
    write(ATTEMPTED, event=event, address=repr(host), stack=stack())
    if event in OF_A_NAME:
        import _socket

        raise _socket.gaierror(_socket.EAI_AGAIN, "refused by the guard of the tests")
    raise OSError(errno.ENETUNREACH, "refused by the guard of the tests")


if ATTEMPTED and STARTED:
    write(STARTED)
    sys.addaudithook(guard)
