"""Make `.venv` ready for one of the Makefile's targets: `python3 scripts/bootstrap.py demo|dev`.

Runs on the machine's own Python before anything is installed: standard library only, and in a syntax
that Pythons too old for the project can still read, so that they can be refused politely. A stamp in
`.venv` says what is installed; with a valid one, this costs an interpreter start and no network.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

OLDEST = (3, 11)
ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"

EXTRAS = {"demo": "cli,server", "dev": "dev"}
ENOUGH_FOR = {"demo": ("demo", "dev"), "dev": ("dev",)}


def main() -> None:
    wanted = sys.argv[1]
    require_python()
    # Two makes at once: the second waits here, then finds the stamp. The lock goes with the process.
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(is_installed(extra) for extra in ENOUGH_FOR[wanted]):
            create_venv()
            install(wanted)


def require_python() -> None:
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        sys.exit(
            f"This project needs Python {OLDEST[0]}.{OLDEST[1]} or newer; {sys.executable} is {found}.\n"
            "Name another one: make PYTHON=/path/to/python3.12 …"
        )


def is_installed(extra: str) -> bool:
    return PYTHON.exists() and stamp(extra).exists() and stamp(extra).read_text() == fingerprint()


def stamp(extra: str) -> Path:
    return VENV / f"installed-{extra}"


def fingerprint() -> str:
    """Changes when something else has to be installed, or the same elsewhere."""
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + bytes(ROOT)).hexdigest()


def create_venv() -> None:
    if is_usable():
        return
    print(f"Creating {VENV} …", flush=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0 or not is_usable():
        sys.exit(
            f"{sys.executable} cannot create a virtual environment:\n{made.stdout}{made.stderr}\n"
            "Debian and Ubuntu keep that in a package of its own: apt install python3-venv"
        )


def is_usable() -> bool:
    """Whether the environment has a Python that is new enough, and pip, and is where it was made.

    The scripts in a moved environment still name the interpreter at its old place.
    """
    activate = PYTHON.with_name("activate")
    if not PYTHON.exists() or not activate.exists() or str(VENV) not in activate.read_text():
        return False
    check = f"import sys, pip; sys.exit(sys.version_info < {OLDEST})"
    return subprocess.run([str(PYTHON), "-c", check], capture_output=True, check=False).returncode == 0


def install(wanted: str) -> None:
    print(f"Installing the project with the extras {EXTRAS[wanted]} into {VENV}, once …", flush=True)
    pip = [str(PYTHON), "-m", "pip", "-qq", "--disable-pip-version-check", "--no-input"]
    project = f"{ROOT}[{EXTRAS[wanted]}]"
    if subprocess.run([*pip, "install", "--editable", project], check=False).returncode != 0:
        sys.exit("pip could not install the project, as it says above. Is the package index reachable?")
    stamp(wanted).write_text(fingerprint())


if __name__ == "__main__":
    main()
