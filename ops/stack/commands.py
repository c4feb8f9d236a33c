"""The commands of the stack: start, stop, scale and restart the system, and follow its logs."""

import os
import shutil
import signal
import subprocess
import sys
from typing import Annotated, Any, NoReturn

import psutil
import typer

from ops.stack import control, processes
from ops.stack.child_process import GIVE_UP_AFTER
from ops.stack.confirmation import NOTHING_DELETED, YES, agrees
from ops.stack.files import last_line, rotate
from ops.stack.local import REPOSITORY, Local, local
from ops.stack.output import addresses
from ops.stack.progress import PATIENCE, Progress
from ops.stack.servers import PostgresServer, RabbitServer, stop_all
from ops.stack.supervisor import ALREADY_SUPERVISED, end_leftovers
from ops.stack.supervisor import main as supervise
from ops.stack.waiting import wait_until
from ops.terminal import echo

STOP_TIMEOUT, COMMAND_TIMEOUT = 60.0, 3600.0
_FOLLOW_ONE = 'tail -q -n 4000 -F "$@" | grep --line-buffered -F "\\"$0"'
"""The lines of a shared log that name a context, or a message of it."""


def up(
    replicas: Annotated[
        int, typer.Option(min=1, help="processes of each context and, behind a balancer, of the gateway")
    ] = 1,
) -> None:
    """Start the system and return when all of it is ready; start what is missing of a system that is up."""
    here = local()
    was_up = _is_supervised(here)
    if not was_up:
        _launch(here, replicas)
    else:
        control.send_command(here.root, "ensure")
    try:
        state = _until_ready(here)
    except KeyboardInterrupt:
        echo(addresses(here.read_state()))
        _fail("the system goes on starting: `yeyak status` shows it, `yeyak down` stops it", code=130)
    echo("The system was up already." if was_up else "The system is up.")
    echo(addresses(state))


def run() -> None:
    """Run the system in the foreground; Ctrl-C stops it."""
    here = local()
    _is_supervised(here)
    raise typer.Exit(supervise())


def down() -> None:
    """Stop gateway, workers and servers; keep the data."""
    here = local()
    _end_supervisor(here)
    end_leftovers(here)
    stop_all(RabbitServer(here.root), PostgresServer(here.root))
    echo("The system is down.")


def reset(yes: Annotated[bool, typer.Option(YES, help="do not ask")] = False) -> None:
    """Stop the system and delete its data, keys and logs."""
    here = local()
    if not yes and here.root.exists() and not agrees(f"Delete all data, keys and logs in {here.root}?"):
        _fail(NOTHING_DELETED)
    down()
    PostgresServer(here.root).destroy()
    shutil.rmtree(here.root, ignore_errors=True)
    echo(f"{here.root} is deleted.")


def start(name: str) -> None:
    """Start a context, `gateway`, `rabbitmq` or `postgres` that was stopped."""
    _send("start", name)


def stop(name: str) -> None:
    """Stop a context, `gateway`, `rabbitmq` or `postgres`, and keep it down."""
    _send("stop", name)


def restart(
    name: str,
    setting: Annotated[
        list[str] | None, typer.Option("--with", help="YEYAK_NAME=value for a context, until the system is stopped")
    ] = None,
) -> None:
    """Restart a context, `gateway`, `rabbitmq`, `postgres`, or `all` processes; replicas one by one."""
    pairs = [one.partition("=") for one in setting or []]
    wrong = [key for key, equals, _ in pairs if not (key.startswith("YEYAK_") and equals)]
    if wrong:
        _fail(f"{wrong[0]} is not of the form YEYAK_NAME=value")
    _send("restart", name, {key: value for key, _, value in pairs} if setting else None)


def scale(context: Annotated[str, typer.Argument(help="cafe.menu=3")]) -> None:
    """Run that many replicas of a context or of the gateway; returns when they are ready."""
    _send("scale", context)


def logs(of: str = typer.Argument("")) -> None:
    """Follow the log of a context, `gateway`, `rabbitmq`, `postgres` or `supervisor`, or all; Ctrl-C ends it."""
    here = local()
    sharing = [one["name"] for one in here.read_state().get("processes", []) if one["name"] != of in one["contexts"]]
    if shared := [str(here.log_of(name)) for name in sharing if here.log_of(name).exists()]:
        os.execvp("sh", ["sh", "-c", _FOLLOW_ONE, of, *shared])
    files = sorted(here.logs.glob(f"{of or '*'}.log"))
    if not files:
        known = ", ".join(file.stem for file in sorted(here.logs.glob("*.log")))
        _fail(f"there is no log of {of or 'the system'}; there are: {known or 'none before the first `yeyak up`'}")
    os.execvp("tail", ["tail", "-n", "40", "-F", *map(str, files)])


def _launch(here: Local, replicas: int) -> None:
    """Start the supervisor in a session of its own, with none of our descriptors: a pipe behind us must see our end."""
    log = here.log_of("supervisor")
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    rotate(log)
    with log.open("ab") as stream:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "ops.stack.supervisor", f"--replicas={replicas}"],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    wait_until(lambda: supervisor.poll() is not None or here.read_state().get("supervisor") == supervisor.pid, 30.0)
    if supervisor.returncode not in (None, ALREADY_SUPERVISED) and here.read_state().get("phase") != "failed":
        _fail(f"the supervisor does not start ({last_line(log)}): read {log}")


def _until_ready(here: Local) -> dict[str, Any]:
    """Wait while something progresses; returns the state of a system that is ready.

    Ends the command when it cannot become ready, with the addresses that there are.
    """
    progress = Progress()
    return wait_until(lambda: _ready_state(here, progress), float("inf"), every=0.1)


def _ready_state(here: Local, progress: Progress) -> dict[str, Any]:
    """The state of a system that is ready; empty while it is not. Ends the command when it cannot become ready."""
    answer = control.send_command(here.root, "state", timeout=5.0)
    state = answer["state"] if answer else here.read_state()
    if answer and _is_complete(state):
        return dict(state)
    if problem := _why_not_ready(here, state, progress):
        if known := addresses(state):
            echo(known)
        _fail(problem)
    return {}


def _is_complete(state: dict[str, Any]) -> bool:
    servers = all(server["state"] == "running" for server in state["servers"])
    return state["phase"] == "up" and servers and all(process["ready"] for process in state["processes"])


def _why_not_ready(here: Local, state: dict[str, Any], progress: Progress) -> str:
    """Why it is of no use to wait any longer; empty as long as it is."""
    supervisor, log = here.supervisor_pid(), here.log_of("supervisor")
    if state.get("phase") == "failed":
        return state.get("problem") or f"the system does not start: read {log}"
    if supervisor is None:
        return f"the supervisor has ended: read {log}"
    waiting = [process for process in state.get("processes", []) if not process["ready"]]
    for process in waiting:
        log = here.log_of(process["name"])
        if process["failures_in_a_row"] >= GIVE_UP_AFTER:
            return f"{process['name']} keeps ending ({last_line(log)}): read {log}"
    signs = (state.get("phase"), *((one["name"], one["pid"]) for one in waiting))
    pids = [one["pid"] for one in waiting if one["pid"]] or processes.descendants(supervisor)
    if progress.is_stalled(signs, pids):
        what = waiting[0]["name"] if waiting else "the system"
        return f"{what} is not ready and has done nothing for {PATIENCE:.0f} s: read {log}"
    return ""


def _is_supervised(here: Local) -> bool:
    """Whether a supervisor runs and takes commands; one that takes none is killed."""
    phase = wait_until(lambda: _supervisor_phase(here), 15.0, every=0.1)
    if phase == "stopping":
        wait_until(lambda: here.supervisor_pid() is None, STOP_TIMEOUT)
    if phase == "":
        _kill_supervisor(here)
    return phase == "up"


def _supervisor_phase(here: Local) -> str:
    """`up` (or starting), `stopping`, `none` without a supervisor; empty when it does not reply."""
    if here.supervisor_pid() is None:
        return "none"
    answer = control.send_command(here.root, "ping", timeout=5.0)
    if not answer:
        return ""
    return "up" if answer["state"]["phase"] in ("servers", "preparing", "up") else "stopping"


def _end_supervisor(here: Local) -> None:
    if here.supervisor_pid() is None:
        return
    control.send_command(here.root, "shutdown", timeout=5.0)
    if not wait_until(lambda: here.supervisor_pid() is None, STOP_TIMEOUT):
        _kill_supervisor(here)


def _kill_supervisor(here: Local) -> None:
    """Kill the process that holds the supervisor's lock; the kernel ends its children with it."""
    if pid := here.supervisor_pid():
        supervisor = psutil.Process(pid)
        processes.send([supervisor], signal.SIGKILL)
        processes.wait_gone([supervisor], 5.0)


def _send(command: str, name: str, env: dict[str, str] | None = None) -> None:
    name = {"gateway_api": "gateway", "postgresql": "postgres"}.get(name, name)
    answer = control.send_command(local().root, command, name, COMMAND_TIMEOUT, env)
    if answer is None:
        _fail("the system is not up: `yeyak up` starts it")
    if not answer["ok"]:
        _fail(answer["error"])
    echo(f"{name}: {command} done.")


def _fail(message: str, code: int = 1) -> NoReturn:
    echo(f"yeyak: {message}", err=True)
    raise typer.Exit(code)
