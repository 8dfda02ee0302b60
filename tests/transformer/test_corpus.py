import subprocess
import sys
from pathlib import Path

import pytest

from cimstudy.errors import InputError
from cimstudy.transformer import held_out_text, load_text, training_text


def paragraphs(text: bytes) -> list[str]:
    return [" ".join(part.split()) for part in text.decode().split("\n\n")]


@pytest.mark.slow
def test_nothing_held_out_is_trained_on() -> None:
    held_out, trained = paragraphs(held_out_text()), paragraphs(training_text())
    assert not set(held_out) & set(trained)
    everything = " ".join(trained)
    assert [p for p in held_out if len(p) > 80 and p in everything] == []


def test_paragraphs_occur_once() -> None:
    for text in (held_out_text(), training_text()):
        parts = paragraphs(text)
        assert len(set(parts)) == len(parts)


def test_there_is_enough_text() -> None:
    assert 60_000 < len(held_out_text()) < 150_000
    assert 1_000_000 < len(training_text()) < 5_000_000


def test_texts_are_english_prose() -> None:
    for text in (held_out_text(), training_text()):
        words = text.decode().split()
        assert 0.02 < words.count("the") / len(words) < 0.1


def test_another_process_reads_the_same_text() -> None:
    code = "from cimstudy.transformer import held_out_text as t; import zlib; print(zlib.crc32(t()))"
    prints = {
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in "12"
    }
    assert len(prints) == 1


def test_text_is_bundled_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"some text")
    assert load_text("bundled") == held_out_text()
    assert load_text(tmp_path / "a.txt") == b"some text"


def test_text_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no text at '.*gone\.txt'; allowed: 'bundled', or the path of a file"):
        load_text(tmp_path / "gone.txt")
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=r"the text '.*empty\.txt' is empty; allowed: a file with at least one byte"):
        load_text(str(tmp_path / "empty.txt"))
