"""How a command begins and ends: Invoke's options that we refuse, errors as messages and exit codes, signals."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from io import StringIO, TextIOWrapper
from types import FrameType
from typing import Any

from invoke import Context as InvokeContext
from invoke import Exit

from pipeline.errors import (
    ConfigurationError,
    HostRefused,
    Interrupted,
    MalformedFile,
    ReleaseError,
    Terminated,
    Unheard,
)
from pipeline.host import Host, system_host
from pipeline.host.files import refused


@contextmanager
def command(context: InvokeContext, *, debug: bool = False) -> Iterator[Host]:
    """The host for one command. Every error leaves as its message and its exit code; a traceback only with `debug`."""
    host = system_host(debug=debug)
    # Closed by who started us: what is asked for then has no answer, as from an empty file.
    sys.stdin = sys.stdin or StringIO()
    for stream in (sys.stdout, sys.stderr):
        # Paths and names hold what a locale may not have a code for; JSON is UTF-8 wherever it is read.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        refuse_run_options(context)
        yield host
    except (Exit, SystemExit):
        raise
    except KeyboardInterrupt:
        host.runner.stop()
        _leave(
            host, Interrupted("interrupted", remedy="run the same command again: it goes on where it stopped"), debug
        )
    except BrokenPipeError:
        # As with any program in a pipe: who reads has what was wanted, and there is nobody to tell.
        host.runner.stop()
        _print_nothing_more()
        raise Exit(code=Unheard.exit_code) from None
    except ReleaseError as error:
        host.runner.stop()
        _leave(host, error, debug)
    except OSError as error:  # what nobody below had a path for: a full disk behind standard output
        host.runner.stop()
        _leave(host, refused(error, error.filename or "what is written here"), debug)
    except RecursionError:  # whoever nests so deep has no honest reason to
        host.runner.stop()
        _leave(host, MalformedFile("what was read is nested too deep"), debug)
    except MemoryError:
        host.runner.stop()
        _leave(host, HostRefused("not enough memory for what was read"), debug)
    except Exception as error:  # a defect: said as one, never shown as a traceback unless asked for
        host.runner.stop()
        defect = ReleaseError(f"a defect of the pipeline: {type(error).__name__}: {error}", remedy="run with --debug")
        _leave(host, defect, debug)
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminated(_number: int, _frame: FrameType | None) -> None:
    # Asked again, it is ending already: what it has to end and to put back is not to be cut short.
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    raise Terminated("terminated", remedy="run the same command again: it goes on where it stopped")


def _print_nothing_more() -> None:
    """What is still in a closed pipe's buffer would be one more error when the interpreter ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _leave(host: Host, error: ReleaseError, debug: bool) -> None:
    told = [error]
    if host.console.in_workflow:
        from pipeline.tasks import ci

        try:
            ci.summarise(host, f"Failed with exit code {error.exit_code}", [str(one) for one in error.parts])
        except ReleaseError as refusal:
            told.append(refusal.at("the job's summary"))
    try:
        if debug:
            host.console.say("".join(traceback.format_exception(*sys.exc_info())))
        for one in told:
            host.console.say(f"error: {one}")
        for one in error.parts:
            host.console.annotate("error", str(one), one.where or type(one).__name__)
    except OSError:  # nobody reads, or nothing more can be written: the exit code still speaks
        _print_nothing_more()
    raise Exit(code=error.exit_code)


def refuse_run_options(context: InvokeContext) -> None:
    """Invoke's own run options would change how commands run behind the pipeline's back; only --dry means something."""
    run = context.config.run
    set_options = {
        "--warn-only": run.warn,
        "--echo": run.echo,
        "--hide": run.hide,
        "--pty": run.pty,
        "--command-timeout": context.config.timeouts.command,
    }
    for option, value in set_options.items():
        if value:
            raise ConfigurationError(f"{option} is Invoke's and has no meaning here", remedy="leave it out")


def demanding(body: Callable[..., None]) -> Callable[..., None]:
    """A task's body that refuses empty arguments: `--requirement "$UNSET"` must not be as if it were not there."""

    parameters = signature(body).parameters

    @wraps(body)
    def task(context: InvokeContext, **arguments: Any) -> None:
        for name, value in arguments.items():
            is_empty = value == "" or (isinstance(value, list) and "" in value)
            if is_empty and value != parameters[name].default:
                option = f"--{name.strip('_').replace('_', '-')}"
                with command(context):
                    raise ConfigurationError("is empty", where=option, remedy="say what is meant, or leave it out")
        body(context, **arguments)

    return task


def is_dry(context: InvokeContext) -> bool:
    return bool(context.config.run.dry)
