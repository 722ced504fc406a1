"""Starts the region: `python -m region --port N --region us-east-1`."""

import argparse
import logging
import os
import threading
import time

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


def main() -> None:
    parser = argparse.ArgumentParser(prog="region", description="An emulated AWS region on 127.0.0.1.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--reconcile-seconds", type=float, default=0.5, help="how often Auto Scaling looks")
    parser.add_argument("--keep-running", action="store_true", help="outlive the process that started it")
    arguments = parser.parse_args()
    if not arguments.keep_running:
        die_with_parent()
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)

    from waitress.server import create_server

    from .front import Front
    from .overlay import install
    from .reconcile import start
    from .state import Region

    install()
    region = Region(arguments.region)
    start(region, arguments.reconcile_seconds)
    server = create_server(
        Front(region),
        host=arguments.host,
        port=arguments.port,
        threads=32,
        connection_limit=2000,
        asyncore_use_poll=True,
        ident=None,
        clear_untrusted_proxy_headers=False,
        max_request_body_size=1 << 32,
        channel_timeout=600,
    )
    print(f"listening on http://{arguments.host}:{server.effective_port}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
