"""What regions are forked from.

Most of a region's start is reading moto and what it knows of AWS. Tests start a hundred regions, so that they have this
read once, in a process that is no region itself: each connection to it is answered by a new process, which is a region of
the name that was sent, has all of its own, and answers with its process id and its address when it listens.
"""

import json
import os
import random
import signal
import socket
from collections.abc import Callable
from functools import partial


def wait_for_a_request(host: str) -> tuple[str, Callable[[str], None]]:
    """Waits for requests for as long as this process lives. Returns in each forked process: the region's name, and how its
    address is told to whoever asked."""
    # What a forked process needs is read before.
    from . import front, reconcile, state  # noqa: F401

    # Nobody waits for the regions: the kernel forgets them when they end.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    listener = socket.create_server((host, 0))
    print(f"forking for {host}:{listener.getsockname()[1]}", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # The ids that moto makes would be the same in all of them.
        random.seed()
        with connection.makefile("r") as lines:
            name = lines.readline().strip()
        return name, partial(tell, connection)


def tell(connection: socket.socket, address: str) -> None:
    connection.sendall(json.dumps({"pid": os.getpid(), "address": address}).encode())
    connection.close()
