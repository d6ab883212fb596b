"""The bootstrap script says clearly what is wrong with a machine, and does nothing when all is done."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bootstrap.py"


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, in a project of its own."""
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(module, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    return module


def pretend_installed(bootstrap: ModuleType, extra: str) -> None:
    bootstrap.PYTHON.parent.mkdir(parents=True, exist_ok=True)
    bootstrap.PYTHON.touch()
    bootstrap.stamp(extra).write_text(bootstrap.fingerprint())


def test_an_old_python_is_refused_with_advice(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    with pytest.raises(SystemExit, match=r"(?s)Python 3\.11 or newer; .* is 3\.8\.18.*make PYTHON="):
        bootstrap.require_python()


def test_a_machine_without_venv_is_told_what_to_install(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho 'ensurepip is not available'\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(SystemExit, match=r"(?s)ensurepip is not available.*apt install python3-venv"):
        bootstrap.create_venv()


@pytest.mark.parametrize(("installed", "wanted"), [("demo", "demo"), ("dev", "demo"), ("dev", "dev")])
def test_nothing_is_done_twice(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, installed: str, wanted: str
) -> None:
    pretend_installed(bootstrap, installed)
    monkeypatch.setattr(bootstrap, "install", lambda extra: pytest.fail(f"installed {extra}"))
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", wanted])
    bootstrap.main()


def test_the_demo_is_not_enough_for_development(bootstrap: ModuleType) -> None:
    pretend_installed(bootstrap, "demo")
    assert not bootstrap.is_installed("dev")


def test_a_change_of_the_project_is_noticed(bootstrap: ModuleType) -> None:
    pretend_installed(bootstrap, "dev")
    (bootstrap.ROOT / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    assert not bootstrap.is_installed("dev")


def test_a_moved_environment_is_not_usable(bootstrap: ModuleType) -> None:
    pretend_installed(bootstrap, "dev")
    bootstrap.PYTHON.with_name("activate").write_text('VIRTUAL_ENV="/somewhere/else/.venv"\n')
    assert not bootstrap.is_usable()
