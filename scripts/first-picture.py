"""A person's first minute: the README's install commands and its first script, as they stand there, in a new folder.

python3 scripts/first-picture.py

`make dist` has to come first. The time that each command took is printed; no time is too long.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MADE_BEFORE = ("dist", "examples")  # what the commands use of a clone
PNG = b"\x89PNG\r\n\x1a\n"


def block(readme: str, language: str, marker: str) -> str:
    """Return the README's block of code in a language that holds a text."""
    blocks: list[str] = re.findall(rf"```{language}\n(.*?)```", readme, re.DOTALL)
    (found,) = (text for text in blocks if marker in text)
    return found


def commands(readme: str) -> list[str]:
    """Return the commands between a wheel and a picture, without their comments."""
    lines = block(readme, "sh", "-m venv").splitlines()
    return [command for line in lines if (command := line.partition("  #")[0].strip())]


def main() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    folder = Path(tempfile.mkdtemp(prefix="first-picture-"))
    try:
        for name in MADE_BEFORE:
            (folder / name).symlink_to(ROOT / name)
        (folder / "ndvi.py").write_text(block(readme, "python", "applier.apply("), encoding="utf-8")
        began_s = time.monotonic()
        for command in commands(readme):
            command_began_s = time.monotonic()
            print(f"$ {command}", flush=True)
            if subprocess.run(["sh", "-ec", command], cwd=folder, check=False).returncode:
                sys.exit(f"first-picture: this command of the README failed: {command}")
            print(f"  ({time.monotonic() - command_began_s:.1f} s)", flush=True)
        picture = (folder / "ndvi.png").read_bytes()
        if not picture.startswith(PNG):
            sys.exit("first-picture: the commands of the README have made no PNG file")
        print(
            f"From a wheel to a first picture ({len(picture):,} bytes): {time.monotonic() - began_s:.0f} seconds."
        )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
