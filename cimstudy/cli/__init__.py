"""The command line: parses, calls one function, prints.

Exit status: 0 done, 1 finished with failed cases (each listed), 2 bad input (one line, no traceback), 3 broken off (the
cluster was lost, or a fault of ours), 130 after Ctrl-C.
Commands import what they need when they are called, so that `--help` and `presets` answer at once.
"""

import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Annotated, Any

import typer

from cimstudy.cli import drawing, parts, reading, running, stores
from cimstudy.cli.options import BAD_INPUT, BROKEN_OFF, DONE, INTERRUPTED
from cimstudy.errors import InputError

# The base of all errors of usage, which typer does not export: BadParameter, UsageError, ClickException.
ParserError: type[Exception] = typer.BadParameter.__mro__[2]


def main() -> int:
    """Run the command in `sys.argv`. Returns its exit status."""
    warnings.showwarning = say
    try:
        return int(app(prog_name="cimstudy", standalone_mode=False) or DONE)
    except ParserError as error:
        return refuse(usage(error))
    except InputError as error:
        return refuse(str(error))
    except OSError as error:
        return refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - not a status that scripts take for a finished run
        traceback.print_exc()
        return BROKEN_OFF


def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    """Help for a bare `cimstudy`, and its version."""
    if version:
        from importlib.metadata import version as installed  # noqa: PLC0415

        print(f"cimstudy {installed('cimstudy')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def usage(error: Exception) -> str:
    """What is wrong with the arguments, and where to read on."""
    message = getattr(error, "format_message", error.__str__)()
    context = getattr(error, "ctx", None)
    command = "cimstudy" if context is None else context.command_path
    return f"{message.rstrip('.')} (see `{command} --help`)"


def say(message: Warning | str, *_where: Any, **_more: Any) -> None:
    """Print a warning in one line, without the line of code that it came from."""
    print(f"cimstudy: {message}", file=sys.stderr)


def refuse(message: str) -> int:
    """Say what is wrong, in one line."""
    print(f"cimstudy: {' '.join(message.split())}", file=sys.stderr)
    return BAD_INPUT


def group(about: str, **commands: Callable[..., Any]) -> typer.Typer:
    """Commands by name, in the order in which `--help` lists them. Help is plain text, and quick."""
    found = typer.Typer(help=about, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    for name, command in commands.items():
        found.command(name.replace("_", "-"))(command)
    return found


app = group(
    "Monte-Carlo studies of transformers on compute-in-memory hardware.",
    run=running.run,
    status=stores.status,
    failures=stores.show_failures,
    verify=stores.verify,
    compact=stores.compact_store,
    show=reading.show,
    compare=reading.show_comparison,
    pareto=reading.show_front,
    sensitivity=reading.show_sensitivity,
    export=reading.write_export,
    plot=drawing.plot,
    report=drawing.report,
    plot_device=drawing.plot_device,
    plot_converter=drawing.plot_converter,
    inspect=parts.inspect_model,
)
app.callback(invoke_without_command=True)(root)
presets = group(
    "Devices, crossbars, architectures and hardware that are known by name.",
    list=parts.list_presets,
    show=parts.show_preset,
)
presets.callback(invoke_without_command=True)(parts.presets)
app.add_typer(presets, name="presets")
app.add_typer(group("Clusters that files describe.", show=parts.show_cluster), name="cluster", no_args_is_help=True)
