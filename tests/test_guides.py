"""The guides' files, code and commands work as they are printed."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cimstudy

GUIDES = Path(__file__).parents[1] / "docs" / "guides"
ADD_A_DEVICE, ADD_A_SCHEME, ADD_AN_EFFECT = (
    GUIDES / f"add-{what}.md" for what in ("a-device", "a-scheme", "an-effect")
)


def blocks(page, language):
    """The fenced blocks of a language on a page: (title, text)."""
    pattern = rf'^```{language}(?: title="([^"]+)")?\n(.*?)^```$'
    return re.findall(pattern, page.read_text(), flags=re.DOTALL | re.MULTILINE)


def run(*command, folder, path=None):
    """Run a command in a folder; it must succeed. path : where the package is found first."""
    environment = os.environ | {"MPLBACKEND": "agg"} | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_add_a_device(tmp_path):
    pytest.importorskip("matplotlib")
    for language in ("toml", "csv"):
        for title, text in blocks(ADD_A_DEVICE, language):
            (tmp_path / title).write_text(text)
    code = "\n".join(text for _, text in blocks(ADD_A_DEVICE, "python"))
    run(sys.executable, "-c", f"{code}\nassert study.resolve_all()", folder=tmp_path)
    commands = re.findall(r"^    (cimstudy .*)$", ADD_A_DEVICE.read_text(), flags=re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        run(sys.executable, "-m", *shlex.split(command), folder=tmp_path)
    assert {file.name for file in tmp_path.glob("*.png")} == {"my-rram.png", "lot-7.png"}


@pytest.mark.slow
@pytest.mark.parametrize("guide", [ADD_AN_EFFECT, ADD_A_SCHEME], ids=lambda guide: guide.stem)
def test_what_a_guide_adds(guide, tmp_path):
    """Applied to a copy of the package, the changes of the guide pass the guide's own test."""
    shutil.copytree(Path(cimstudy.__file__).parent, tmp_path / "cimstudy", ignore=shutil.ignore_patterns("__pycache__"))
    for title, text in blocks(guide, "diff"):
        file = tmp_path / title
        file.write_text(patched(file.read_text(), text, title))
    *added, (title, test) = blocks(guide, "python")
    for name, text in added:
        (tmp_path / name).write_text(text)
    (tmp_path / Path(title).name).write_text(test)
    said = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", Path(title).name, folder=tmp_path, path=tmp_path
    )
    assert "2 passed" in said


@pytest.mark.parametrize(
    ("title", "text"), [block for guide in (ADD_AN_EFFECT, ADD_A_SCHEME) for block in blocks(guide, "diff")]
)
def test_changes_fit_the_package(title, text):
    patched((Path(cimstudy.__file__).parents[1] / title).read_text(), text, title)


def patched(text, change, title):
    """The text with a change whose context it holds once. change : lines that begin with ' ', '+' or '-'."""
    lines = change.splitlines(keepends=True)
    before, after = ("".join(line[1:] for line in lines if line[0] in kept) for kept in (" -", " +"))
    assert text.count(before) == 1, f"{title} does not hold once:\n{before}"
    return text.replace(before, after)
