"""Study files: Python files with one module-level `study`, executed here and, from the same text, on every worker.

And studies as JSON, as stores and reports hold them.
"""

import importlib.util
import json
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType

from cimstudy.errors import InputError
from cimstudy.study.evaluate import one_line
from cimstudy.study.shipping import Source, install, shipped
from cimstudy.study.study import Study


def load_study(path: str | Path) -> Study:
    """The `study` of a study file, or the study of a .json file.

    The file's functions and classes work as workloads: workers execute the same text under the same module name, so
    that module-level caches and classes behave as in an imported module. Modules beside the file go with it. A study as
    JSON needs the file that defines its workload beside it, if one does.
    Raises InputError naming file and line if there is no such study.
    """
    file = Path(path).expanduser().absolute()
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} cannot be read ({reason(error)}); allowed: a Python file with a module-level `study`"
        ) from None
    return study_as_json(text, path) if file.suffix == ".json" else study_in(file, text, path)


def study_as_json(text: str, path: str | Path) -> Study:
    """The study of a JSON text, whose workload may be defined by a study file beside it."""
    try:
        workload = json.loads(text)["workload"]["type"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no study ({type(error).__name__}: {error}); allowed: what to_json gives"
        ) from None
    for file in Path(path).expanduser().absolute().parent.glob("*.py"):
        if plain_name(file) == workload.partition(":")[0]:
            load_study(file)
    return Study.from_json(text)


def study_in(file: Path, text: str, path: str | Path) -> Study:
    """The study of a Python file with this text; `path` is what it was given as."""
    name = module_name(file)
    forget(file.parent)
    before = set(sys.modules)
    sys.path.insert(0, str(file.parent))
    try:
        module = execute(name, Source(str(file), text))
    except InputError as error:
        raise InputError(f"{path}{line_of(error, file)}: {error}") from None
    except SyntaxError as error:
        where = f"{path}, line {error.lineno}" if error.filename == str(file) else str(path)
        raise InputError(f"{where}: {error.msg}; allowed: a Python file with a module-level `study`") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a study file raises is its author's to mend
        raise InputError(f"{path}{line_of(error, file)}: {type(error).__name__}: {one_line(error)}") from None
    finally:
        sys.path.remove(str(file.parent))
    shipped.update(neighbours(file.parent, set(sys.modules) - before - {name}))
    return study_of(module, path)


def execute(name: str, source: Source) -> ModuleType:
    """Import a module from its text, anew if it is known already. If that fails, nothing of it stays."""
    install({name: source})
    sys.modules.pop(name, None)
    try:
        return importlib.import_module(name)
    except BaseException:
        del shipped[name]
        raise


def forget(folder: Path) -> None:
    """Drop what was loaded from this folder before, if a file has changed since: others may have imported it."""
    loaded = {name: source for name, source in shipped.items() if Path(source.file).parent == folder}
    if all(text_of(Path(source.file)) == source.text for source in loaded.values()):
        return
    for name in loaded:
        del shipped[name]
        sys.modules.pop(name, None)


def text_of(file: Path) -> str | None:
    """What a file holds; None if it is gone."""
    return file.read_text("utf-8") if file.is_file() else None


def module_name(file: Path) -> str:
    """The file's own name. Raises InputError if that would hide a module that others import."""
    name = plain_name(file)
    known = name in sys.builtin_module_names or (name not in shipped and importlib.util.find_spec(name))
    if known and getattr(known, "origin", None) != str(file):
        raise InputError(f"{file.name} has the name of an installed module, {name}; give the file another name")
    return name


def plain_name(file: Path) -> str:
    """The file's name as that of a module."""
    return re.sub(r"\W", "_", file.stem)


def neighbours(folder: Path, names: set[str]) -> dict[str, Source]:
    """Of the modules just imported, those that lie beside the study file."""
    found = {}
    for name in sorted(names):
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == folder and Path(file).suffix == ".py":
            found[name] = Source(file, Path(file).read_text("utf-8"))
    return found


def study_of(module: ModuleType, path: str | Path) -> Study:
    """The module's `study`."""
    if not hasattr(module, "study"):
        raise InputError(f"{path} defines no `study`; allowed: a module-level study = Study(...)")
    if not isinstance(module.study, Study):
        raise InputError(f"{path}: `study` is a {type(module.study).__name__}; allowed: a Study")
    return module.study


def line_of(error: BaseException, file: Path) -> str:
    """`, line 12`: the last line of the file that an exception went through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f", line {lines[-1]}" if lines else ""


def reason(error: Exception) -> str:
    """Why a file cannot be read."""
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"
