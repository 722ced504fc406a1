"""The process: it must not outlive the one that started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from .conftest import PACKAGE_PARENT


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Whoever starts a region and is killed leaves nothing behind."""
    output = tmp_path / "output"
    start = f'"{sys.executable}" -m region --port 0 > "{output}" & echo $!'
    command = f'{start}; while ! grep -q listening "{output}"; do sleep 0.1; done'
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)}
    shell = subprocess.run(["bash", "-c", command], env=environment, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    status = Path(f"/proc/{int(shell.stdout)}")
    deadline = time.monotonic() + 10
    while status.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not status.exists()
