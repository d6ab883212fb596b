"""The whole product in a few seconds: `make demo`.

Starts the reference server on free ports, runs `quickstart.py` against it once per generation of the
API, sums up, and leaves nothing behind.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUICKSTART = Path(__file__).with_name("quickstart.py")
SERVER = str(Path(sys.executable).with_name("openhands-reference-server"))
STOP_TIMEOUT = 10.0  # seconds


def main() -> int:
    # An end by SIGTERM shall leave no server behind either.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    start = time.monotonic()
    with reference_server() as url:
        reports = [quickstart(url, api) for api in ("v1", "v0")]
    print("\nSummary")
    for report in reports:
        print(f"  {report}")
    print(f"  everything together {time.monotonic() - start:.1f} s; the server is gone")
    return 0


@contextmanager
def reference_server() -> Iterator[str]:
    """Run the reference server; its URL, once it answers."""
    command = [SERVER, "serve", "--memory", "--auth", "open", "--port", "0", "--agent-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            for line in server.stdout:
                print(line, end="")
                if line.startswith("ready "):
                    yield line.split()[1]
                    break
            else:
                sys.exit(f"The reference server did not start; it ended with {server.wait()}.")
        finally:
            server.terminate()
            try:
                server.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                server.kill()


def quickstart(url: str, api: str) -> str:
    """Run the quickstart and show what it says; what happened, in one line."""
    print(f"\n$ OPENHANDS_BASE_URL={url} python examples/{QUICKSTART.name} {api}", flush=True)
    # Keys for a real server have no business here.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENHANDS_")}
    environment |= {"OPENHANDS_BASE_URL": url, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-u", str(QUICKSTART), api]
    start = time.monotonic()
    stages = events = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                stages += line.startswith("  starting: ")
                events += line.startswith("  [")
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        sys.exit(f"The quickstart failed with exit code {process.returncode}.")
    return f"{api}: {stages} stages of starting, {events} events watched, {time.monotonic() - start:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
