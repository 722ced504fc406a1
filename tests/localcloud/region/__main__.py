"""Starts the region: `python -m region --port N --region us-east-1`."""

import argparse
import logging
import os
import threading
import time
from collections.abc import Callable

# moto reads these when it is imported.
os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")


def die_with_parent() -> None:
    """Ends this process soon after the one that started it has ended.

    Looks rather than asks for PR_SET_PDEATHSIG, which fires when the parent's *thread* ends.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="region", description="An emulated AWS region on 127.0.0.1.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--reconcile-seconds", type=float, default=0.5, help="how often Auto Scaling looks")
    parser.add_argument("--keep-running", action="store_true", help="outlive the process that started it")
    parser.add_argument(
        "--template", action="store_true", help="be no region, but what regions are forked from (see template.py)"
    )
    return parser.parse_args()


def main() -> None:
    options = arguments()
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    from .overlay import install

    install()
    if options.template:
        from . import template

        region, tell = template.wait_for_a_request(options.host)
    else:
        region, tell = options.region, lambda _: None
    # A thread doesn't come along into a forked process.
    if not options.keep_running:
        die_with_parent()
    serve(region, options, tell)


def serve(name: str, options: argparse.Namespace, tell: Callable[[str], None]) -> None:
    from waitress.server import create_server

    from .front import Front
    from .reconcile import start
    from .state import Region

    region = Region(name)
    start(region, options.reconcile_seconds)
    server = create_server(
        Front(region),
        host=options.host,
        port=options.port,
        threads=32,
        connection_limit=2000,
        asyncore_use_poll=True,
        ident=None,
        clear_untrusted_proxy_headers=False,
        max_request_body_size=1 << 32,
        channel_timeout=600,
    )
    print(f"listening on http://{options.host}:{server.effective_port}", flush=True)
    tell(f"{options.host}:{server.effective_port}")
    server.run()


if __name__ == "__main__":
    main()
