"""Find system libraries that are missing before they hurt, and say the one line that installs them.

Usage: python3 tools/check_system.py {demo,test} [--install]

Needs nothing but Python's own library. Exit code 0: all there; 1: something is missing (said on stderr).
With ``--install`` it installs the Debian packages itself where it may: as root, with apt, and with CI=true.
"""

from __future__ import annotations

import ctypes
import glob
import os
import platform
import shutil
import subprocess
import sys

# what is looked for -> Debian package. lib*.so are loaded, other names are looked up on the PATH.
DEMO = {
    "libGL.so.1": "libgl1",  # opencv-python
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
}
TEST = {
    **DEMO,
    "Xvfb": "xvfb",
    "xauth": "xauth",
    "ffmpeg": "ffmpeg",  # torchcodec loads its libraries
    "libEGL.so.1": "libegl1",
    "libGLX_mesa.so.0": "libglx-mesa0",
    "libOpenGL.so.0": "libopengl0",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-xinerama.so.0": "libxcb-xinerama0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libfontconfig.so.1": "libfontconfig1",
}


def missing_packages(needs: dict[str, str], *, with_screen: bool) -> list[str]:
    """Debian packages that are not there, each once, in order."""
    missing = [package for name, package in needs.items() if not _is_there(name)]
    if with_screen:
        if not any(glob.glob(f"/usr/{folder}/dri/*swrast*") for folder in ("lib/*", "lib", "lib64")):
            missing.append("libgl1-mesa-dri")
        if not any(glob.glob(f"/usr/share/fonts/**/*.{kind}", recursive=True) for kind in ("ttf", "otf", "pfb")):
            missing.append("fonts-dejavu-core")
    return list(dict.fromkeys(missing))


def _is_there(name: str) -> bool:
    if not name.startswith("lib"):
        return shutil.which(name) is not None
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def venv_package() -> str | None:
    """Debian splits ensurepip off: without it ``python -m venv`` makes half an environment."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    return None


def main() -> int:
    """Check for one purpose."""
    purpose = sys.argv[1] if len(sys.argv) > 1 else ""
    if purpose not in ("demo", "test"):
        print(__doc__, file=sys.stderr)
        return 2
    missing = [p for p in [venv_package()] if p]
    if platform.system() == "Linux":
        missing += missing_packages(TEST if purpose == "test" else DEMO, with_screen=purpose == "test")
    if not missing:
        return 0
    may_install = os.environ.get("CI") == "true" and hasattr(os, "geteuid") and os.geteuid() == 0
    if "--install" in sys.argv and may_install and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        subprocess.run(command, check=True, env=environment)
        return 0
    print(
        "system packages are missing; install them with\n    sudo apt-get install -y --no-install-recommends "
        + " ".join(missing)
        + "\n(names as in Debian and Ubuntu; other systems have the same libraries under similar names)",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
