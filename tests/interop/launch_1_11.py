"""Runs inside the virtual environment of OpenHands 1.11.0 (V1 only): start it so that it works without Docker.

Only what a machine without Docker needs is adapted; every route and model is the server's own.
"""

import os
import pathlib
import subprocess

import psutil

root = pathlib.Path(os.environ["INTEROP_ROOT"])
os.environ["RUNTIME"] = "process"  # one agent-server process per sandbox

import openhands.app_server.utils.environment as environment

environment.is_running_in_docker = lambda: False
import openhands.app_server.utils.docker_utils as docker_utils

docker_utils.is_running_in_docker = lambda: False

import openhands.app_server.config as config

for spec in config.get_global_config().sandbox_spec.specs:
    spec.working_dir = str(root / "workspace")
config.get_global_config().sandbox.base_port = int(os.environ["INTEROP_AGENT_PORT"])

from openhands.app_server.sandbox import process_sandbox_service as sandboxes
from openhands.app_server.sandbox.sandbox_models import SandboxStatus

Service = sandboxes.ProcessSandboxService


def process_status(self, info):
    """A sleeping process is a running sandbox (the stock check calls it STARTING forever)."""
    try:
        process = psutil.Process(info.pid)
        status = process.status()
    except psutil.Error:
        return SandboxStatus.MISSING
    if status == psutil.STATUS_ZOMBIE or not process.is_running():
        return SandboxStatus.MISSING
    return SandboxStatus.PAUSED if status == psutil.STATUS_STOPPED else SandboxStatus.RUNNING


class LoggedSubprocess:
    """subprocess, but an agent server's output goes to a file: nobody reads the stock pipe, and a full pipe blocks."""

    PIPE = subprocess.PIPE

    @staticmethod
    def Popen(command, env=None, cwd=None, **_):
        log = (root / f"agent-server-{command[-1]}.log").open("ab")
        return subprocess.Popen(command, env=env, cwd=cwd, stdout=log, stderr=log)


stock_wait = Service._wait_for_server_ready


async def patient_wait(self, port, timeout=30):
    return await stock_wait(self, port, 180)


Service._get_process_status = process_status
Service._wait_for_server_ready = patient_wait
sandboxes.subprocess = LoggedSubprocess

import uvicorn
from openhands.server.app import app

uvicorn.run(app, host="127.0.0.1", port=int(os.environ["INTEROP_PORT"]))
