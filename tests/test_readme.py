"""What README.md and the guides tell users to type exists."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import cimstudy

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "cluster" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = {page: page.read_text() for page in PAGES}
STOP = r"\.run\(|open_zarr|open_results|SLURMCluster|^\w+\."  # what needs a store or a cluster
COMMANDS = sorted(
    {
        line.split("#")[0].strip()
        for text in TEXT.values()
        for line in text.splitlines()
        if re.match(r" {4}cimstudy \w", line)
    }
)
LINKS = [
    (page, target)
    for page, text in TEXT.items()
    for target in re.findall(r"\]\(([^)#]+)\)", text)
    if not target.startswith("http")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_options_exist(command):
    words = shlex.split(command)[1:]
    names = [word for word in words[:2] if re.fullmatch("[a-z]+", word) and word != "list"]
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    asked = [sys.executable, "-m", "cimstudy", *names, "--help"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment)
    for option in [word for word in words if word.startswith("-")]:
        assert option in answer.stdout, f"{command}: no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_that_pages_name_exist(page):
    for script in re.findall(r"(?:sh|python) (scripts/[\w.]+)", TEXT[page]):
        assert (ROOT / script).exists(), script


@pytest.mark.parametrize(("page", "target"), LINKS, ids=str)
def test_links_lead_somewhere(page, target):
    assert (page.parent / target).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_define_sound_studies(page):
    """Each Python block runs as far as its first run of a study or use of a result."""
    for block in re.findall(r"```python\n(.*?)```", TEXT[page], flags=re.DOTALL):
        lines = block.splitlines()
        stops = [place for place, line in enumerate(lines) if re.search(STOP, line)]
        scope = {"cim": cimstudy}
        code = "\n".join(lines[: min(stops, default=len(lines))])
        exec(compile(code, str(page), "exec"), scope)  # noqa: S102 - the examples are ours
        if "study" in scope:
            assert scope["study"].resolve_all()
