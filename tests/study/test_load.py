import json
import pickle
import subprocess
import sys

import pytest

from cimstudy.errors import InputError
from cimstudy.study import Study, load_study
from cimstudy.study.shipping import code_of, install, plain_code, shipped
from cimstudy.study.task import pack, unpack

HEAD = "from cimstudy.study import Study\n"
WORKLOAD = "def constant(hardware, *, seed, trial):\n    return {'x': 1.0}\n"


@pytest.fixture
def write(tmp_path):
    """Write a study file; what loading it registers is forgotten after the test."""
    known, before = dict(shipped), set(sys.modules)

    def written(text, name="a_study_file.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    yield written
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    shipped.clear()
    shipped.update(known)


def test_a_study_file_gives_its_study(write):
    study = load_study(write(HEAD + WORKLOAD + "study = Study(name='mine', workload=constant)"))
    assert study.name == "mine"
    assert Study.from_json(study.to_json()) == study


def test_loading_a_changed_file_again_gives_the_changed_study(write):
    load_study(write(HEAD + WORKLOAD + "study = Study(name='old', workload=constant)"))
    assert load_study(write(HEAD + WORKLOAD + "study = Study(name='new', workload=constant)")).name == "new"


def test_studies_from_two_files_of_a_folder_can_both_be_run(write):
    study = (
        f"{HEAD}import functools\n@functools.cache\ndef model():\n    return 2.0\n"
        "def constant(hardware, *, seed, trial):\n    return {'x': model()}\n"
    )
    one = load_study(write(f"{study}study = Study(name='one', workload=constant)", "one_file.py"))
    other = load_study(write(f"{study}study = Study(name='other', workload=constant)", "other_file.py"))
    assert [unpack(pack(loaded))[0].name for loaded in (one, other)] == ["one", "other"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "defines no `study`; allowed: a module-level study = "),
        ("study = 3\n", "`study` is a int; allowed: a Study"),
        ("x = 1\nx = = 2\n", "a_study_file.py, line 2: invalid syntax; allowed: a Python file"),
        ("x = 1\ny = 1 / 0\n", "a_study_file.py, line 2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(3)\n", "a_study_file.py, line 2: SystemExit: 3"),
        ("import no_such_module\n", "a_study_file.py, line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        (
            HEAD + "study = Study(name='x', workload=3)\n",
            "a_study_file.py, line 2: the workload is 3; allowed: a callable",
        ),
    ],
)
def test_a_bad_study_file_is_refused_with_file_and_line(write, text, message):
    with pytest.raises(InputError, match=message) as caught:
        load_study(write(text))
    assert "\n" not in str(caught.value)


def test_an_unreadable_file_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"nope.py cannot be read \(No such file or directory\); allowed: a Python file"
    ):
        load_study(tmp_path / "nope.py")
    (tmp_path / "latin.py").write_bytes(b"x = '\xe9'")
    with pytest.raises(InputError, match=r"latin.py cannot be read \(it is not UTF-8 text\)"):
        load_study(tmp_path / "latin.py")


def test_a_file_named_like_an_installed_module_is_refused(write):
    for name in ("json.py", "numpy.py", "sys.py"):
        with pytest.raises(InputError, match=f"{name} has the name of an installed module"):
            load_study(write("study = 1", name))
    assert json.loads("1") == 1


def test_a_process_that_has_only_the_payload_can_evaluate(write):
    neighbour = write("import functools\n@functools.cache\ndef model():\n    return 2.0\n", "beside_it.py")
    text = (
        "from cimstudy.hardware import Part\nfrom beside_it import model\n"
        "class Twice(Part):\n    factor: float = 1.5\n"
        "    def __call__(self, hardware, *, seed, trial):\n        return {'x': model() * self.factor}\n"
        "study = Study(name='x', workload=Twice())\n"
    )
    path = write(HEAD + text)
    payload = pack(load_study(path))
    path.unlink()
    neighbour.unlink()
    code = (
        "import pickle, sys\nfrom cimstudy.study.task import unpack\n"
        "study, _ = unpack(pickle.load(sys.stdin.buffer))\n"
        "print(study.workload(study.hardware, seed=0, trial=0)['x'], unpack.__module__)\n"
        "import a_study_file\nassert type(study.workload) is a_study_file.Twice\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(payload), capture_output=True, check=True)
    assert ended.stdout.split()[0] == b"3.0"


def test_a_worker_keeps_one_study_for_each_payload(logged_study):
    payload = pack(logged_study)
    assert unpack(payload) is unpack(pack(logged_study))
    install(dict(payload.sources))
    assert sys.modules["logged"].study is logged_study


def test_a_changed_file_is_unpacked_anew(write):
    text = HEAD + WORKLOAD + "study = Study(name='x', workload=constant)"
    old = pack(load_study(write(text)))
    new = pack(load_study(write(text.replace("1.0", "2.0"))))
    values = [unpack(payload)[0].workload(None, seed=0, trial=0) for payload in (old, new)]
    assert values == [{"x": 1.0}, {"x": 2.0}]


def test_the_code_of_a_workload_counts_but_not_its_comments_and_spacing(write):
    text = HEAD + WORKLOAD + "study = Study(name='x', workload=constant)"
    (code,) = load_study(write(text)).checksums().values()
    same = load_study(write(text.replace(":\n    return", ":  # why\n\n        return")))
    assert same.checksums() == {"code": code}
    other = load_study(write(text.replace("1.0", "2.0")))
    assert other.checksums()["code"] != code
    assert code_of(json.dumps) == {}
    assert plain_code("a = 'b  c'") == "a = 'b  c'"


def test_a_study_as_json_is_the_study_whose_workload_is_defined_beside_it(write, tmp_path):
    text = HEAD + WORKLOAD + "study = Study(name='mine', workload=constant)"
    study = load_study(write(text, "my-study.py")).replace("trials", 7)
    again = load_study(write(study.to_json(), "study.json"))
    assert (again.hash(), again.trials) == (study.hash(), 7)


def test_a_study_as_json_without_what_defines_its_workload_is_refused(write):
    text = '{"name": "x", "workload": {"type": "nowhere:constant"}, "hardware": {}, "space": {"kind": "grid"}}'
    with pytest.raises(InputError, match=r"^nowhere:constant cannot be imported \(.*\); load the file that defines it"):
        load_study(write(text, "study.json"))


@pytest.mark.parametrize("text", ["{}", "[1]", "not json", '{"workload": 3}'])
def test_json_that_is_no_study_is_refused(write, text):
    with pytest.raises(InputError, match=r"study\.json holds no study \(.*\); allowed: what to_json gives$"):
        load_study(write(text, "study.json"))
