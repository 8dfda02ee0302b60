"""What a store says of where its results come from."""

import importlib.metadata
import json
import platform
import subprocess

import pytest

from cimstudy.study import Study
from cimstudy.study.provenance import git_state


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty git repository, which is the working directory. Returns what runs git there."""
    monkeypatch.chdir(tmp_path)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "tests")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tests@localhost")

    def git(*arguments):
        return subprocess.run(["git", *arguments], capture_output=True, text=True, check=True).stdout.strip()  # noqa: S607

    git("init", "--quiet")
    return git


def committed(git, path, text):
    """The commit of a file with this text."""
    path.write_text(text)
    git("add", path.name)
    git("commit", "--quiet", "--message", text)
    return git("rev-parse", "HEAD")


def test_the_state_of_git_is_the_commit_and_whether_files_of_it_were_changed(repository, tmp_path):
    assert git_state() is None  # there is no commit yet
    file = tmp_path / "study.py"
    commit = committed(repository, file, "one")
    (tmp_path / "results").write_text("not of the repository")
    assert git_state() == {"commit": commit, "dirty": False}
    file.write_text("two")
    assert git_state() == {"commit": commit, "dirty": True}
    second = committed(repository, file, "two")
    assert git_state() == {"commit": second, "dirty": False}


def test_without_git_or_a_repository_there_is_no_state(repository, tmp_path, monkeypatch):
    committed(repository, tmp_path / "study.py", "one")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert git_state() is None
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.setenv("PATH", "")
    assert git_state() is None


def test_a_store_names_all_that_its_results_come_from(study, repository, two_workers, tmp_path):
    first = committed(repository, tmp_path / "study.py", "one")
    attributes = study.run("s.zarr", cluster=two_workers, progress=False).attrs
    assert Study.from_json(attributes["study"]) == study
    assert (attributes["study_hash"], attributes["seed"]) == (study.hash(), 7)
    assert attributes["checksums"] == study.checksums()
    assert attributes["checksums"].keys() == {"data", "code"}
    assert attributes["versions"]["python"] == platform.python_version()
    assert attributes["versions"]["numpy"] == importlib.metadata.version("numpy")
    assert attributes["machine"].keys() == {"cpu", "blas", "system"}
    assert attributes["git"] == {"commit": first, "dirty": False}
    second = committed(repository, tmp_path / "study.py", "two")
    assert len(study.run("s.zarr", cluster=two_workers, progress=False).attrs["history"]) == 1  # nothing was computed
    more = study.replace("trials", 5).run("s.zarr", cluster=two_workers, progress=False).attrs
    assert [entry["git"]["commit"] for entry in more["history"]] == [first, second]
    assert more["git"] == attributes["git"]
    assert json.loads(json.dumps(more["history"])) == more["history"]
