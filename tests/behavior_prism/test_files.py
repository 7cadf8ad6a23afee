"""An output is whole or not there, whatever stood at its place and whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from behavior_prism.files import atomic_write


def write(path: Path, text: str, *, folder: bool) -> None:
    if folder:
        path.mkdir()
    (path / "content" if folder else path).write_text(text)


def read(path: Path) -> str:
    return (path / "content" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("folder", [True, False])
def test_appears_when_the_block_ends_and_replaces_when_asked(tmp_path, folder):
    target = tmp_path / "new" / "out"
    with atomic_write(target) as fresh:
        write(fresh, "one", folder=folder)
        assert not target.exists()
    assert read(target) == "one"
    with pytest.raises(FileExistsError, match="exists already; choose another name"), atomic_write(target):
        pytest.fail("nothing may be written")
    with atomic_write(target, overwrite=True) as fresh:
        write(fresh, "two", folder=folder)
        assert read(target) == "one"
    assert read(target) == "two"
    assert [p.name for p in target.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("folder", [True, False])
def test_a_failure_keeps_the_old_one(tmp_path, folder):
    target = tmp_path / "out"
    write(target, "old", folder=folder)
    with pytest.raises(RuntimeError), atomic_write(target, overwrite=True) as fresh:
        write(fresh, "half", folder=folder)
        raise RuntimeError
    assert read(target) == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_is_not_in_the_way(tmp_path):
    target = tmp_path / "out"
    write(target, "old", folder=True)
    write(tmp_path / ".out.old", "older", folder=True)
    with atomic_write(target, overwrite=True) as fresh:
        write(fresh, "new", folder=True)
    assert read(target) == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_old_folder_comes_back_if_the_new_one_cannot_be_named(tmp_path, monkeypatch):
    target = tmp_path / "out"
    write(target, "old", folder=True)
    rename = Path.rename

    def refuse(self, to):
        if self.name.endswith(".tmp"):
            raise OSError("no")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="no"), atomic_write(target, overwrite=True) as fresh:
        write(fresh, "new", folder=True)
    assert read(target) == "old"


@pytest.mark.parametrize("folder", [True, False])
def test_a_file_never_replaces_a_folder_nor_a_folder_a_file(tmp_path, folder):
    target = tmp_path / "out"
    write(target, "precious", folder=not folder)
    with (
        pytest.raises(FileExistsError, match="expected a .* to replace, got a"),
        atomic_write(target, overwrite=True) as fresh,
    ):
        write(fresh, "new", folder=folder)
    assert read(target) == "precious"


def test_somebody_else_was_faster(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(FileExistsError, match="exists already"), atomic_write(target) as fresh:
        write(fresh, "mine", folder=False)
        write(target, "theirs", folder=False)
    assert read(target) == "theirs"
