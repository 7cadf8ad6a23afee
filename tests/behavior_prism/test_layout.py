"""The house rules: what is packaged, who may import whom, what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("encoder", "datasets", "analysis", "napari_plugin")
MAY_IMPORT = {
    "encoder": set(),
    "datasets": {"behavior_prism.schemas", "behavior_prism.files"},
    "analysis": {
        "behavior_prism.schemas",
        "behavior_prism.files",
        "behavior_prism.encoder",
        "behavior_prism.datasets",
    },
    "napari_plugin": {
        "behavior_prism.schemas",
        "behavior_prism.analysis",
        "behavior_prism.datasets",
        "behavior_prism.workflow",
        "behavior_prism.demo",
    },
}


def python_files(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*.py") if "__pycache__" not in p.parts]


def imports_of(path: Path, *, only_on_top: bool = False) -> set[str]:
    """Absolute module names that a file imports anywhere in it, or as soon as it is imported itself."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if only_on_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
            if node.module == "behavior_prism":
                found |= {f"behavior_prism.{alias.name}" for alias in node.names}
    return found


def test_every_subpackage_is_listed():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"behavior_prism"} | {
        ".".join(("behavior_prism", *p.parent.relative_to(ROOT).parts))
        for folder in ROOMS
        for p in (ROOT / folder).rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    assert found == listed


@pytest.mark.parametrize("room", ROOMS)
def test_links_lead_to_the_rooms(room):
    link = ROOT / "behavior_prism" / room
    assert link.is_symlink() and link.readlink().as_posix() == f"../{room}"
    assert (link / "__init__.py").is_file()


@pytest.mark.parametrize("room", ROOMS)
def test_import_directions(room):
    allowed = MAY_IMPORT[room] | {f"behavior_prism.{room}"}
    wrong = []
    for path in python_files(ROOT / room):
        for name in imports_of(path):
            if not name.startswith("behavior_prism") or name == "behavior_prism":
                continue
            home = ".".join(name.split(".")[:2])
            is_room = home.split(".")[1] in (*ROOMS, "schemas", "workflow", "demo", "cli", "reporting", "info", "files")
            if is_room and home not in allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_nothing_imports_a_room_by_its_bare_name():
    """A bare ``datasets`` would be Hugging Face's, or ours by accident of the working folder."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in (*ROOMS, "behavior_prism", "tests", "examples", "benchmarks", "tools")
        for path in python_files(ROOT / folder)
        for name in imports_of(path)
        if name.split(".")[0] in ROOMS
    ]
    assert wrong == []


def test_encoder_needs_only_torch_numpy_and_safetensors():
    needed = {"torch", "numpy", "safetensors", "behavior_prism"}
    on_use = {"huggingface_hub", "sentencepiece"}  # fetching weights, reading text: imported where that is done

    def outside(only_on_top: bool) -> set[str]:
        files = python_files(ROOT / "encoder")
        names = {n.split(".")[0] for path in files for n in imports_of(path, only_on_top=only_on_top)}
        return names - set(sys.stdlib_module_names)

    assert outside(only_on_top=True) <= needed
    assert outside(only_on_top=False) <= needed | on_use


HEAVY = ("torch", "qtpy", "PySide6", "PyQt6", "cv2", "sklearn", "napari", "umap")


@pytest.mark.parametrize(
    "code",
    [
        "import behavior_prism",
        "import behavior_prism.encoder, behavior_prism.datasets, behavior_prism.analysis, behavior_prism.napari_plugin",
        "import sys; sys.argv = ['behavior-prism', '--help']\nfrom behavior_prism.__main__ import main\n"
        "try: main()\nexcept SystemExit: pass",
    ],
)
def test_importing_is_light(code):
    script = f"{code}\nimport sys\nheavy = [m for m in {HEAVY} if m in sys.modules]\nassert not heavy, heavy"
    subprocess.run([sys.executable, "-P", "-c", script], check=True, capture_output=True, timeout=60)


def test_datasets_work_without_torch():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from behavior_prism.datasets import simulate_recording, Video, load_tracks\n"
        "simulate_recording('fly', seconds=1, size=(64, 64)).frame(3)"
    )
    subprocess.run([sys.executable, "-P", "-c", script], check=True, capture_output=True, timeout=60)


@pytest.mark.torch
def test_public_names_exist():
    import behavior_prism as bp

    for name in bp.__all__:
        assert getattr(bp, name) is not None
    for room in ROOMS:
        module = getattr(bp, room)
        for name in module.__all__:
            assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        bp.nonsense  # noqa: B018


def test_version_is_the_same_everywhere():
    import behavior_prism as bp

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == bp.__version__
    assert f"## {bp.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = {
        line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    import re

    names = {re.match(r"[\w.-]+", d)[0].lower().replace("_", "-") for d in wanted} - {"behavior-prism"}
    assert names <= {p.replace("_", "-") for p in pinned}
    assert "torchvision" not in pinned


def test_no_machine_or_host_in_the_tree():
    import re

    machine = re.compile(r"(?<![\w.])/(work|farm|root|home)/|files\.pythonhosted|pypi\.org/simple")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n")
    wrong = []
    for name in filter(None, tracked):
        path = ROOT / name
        if path.suffix in {".py", ".toml", ".md", ".sh", ".yaml", ".yml", ".txt", ".rst"} and path.is_file():
            if name.endswith("test_layout.py"):
                continue
            wrong += [f"{name}: {m.group(0)}" for m in machine.finditer(path.read_text(encoding="utf-8"))]
    assert wrong == []
