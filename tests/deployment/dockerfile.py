"""Reads the Dockerfile, and does in a folder what it says, where there is no engine for containers."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from django.conf import settings

CONTEXT = Path(settings.BASE_DIR)
DOCKERFILE = CONTEXT / "Dockerfile"
OWNED = re.compile(r"(?<![\w.])/(venv|app|data)\b")
"""The folders that it makes at the root of the image."""
USER = 10001
FASTER = {"PIP_NO_COMPILE": "1"}
"""Half of the time would go into what is never imported."""


@dataclass
class Stage:
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def of(self, instruction: str) -> list[str]:
        return [argument for each, argument in self.steps if each == instruction]


def stages(file: Path = DOCKERFILE) -> list[Stage]:
    found: list[Stage] = []
    for instruction, argument in _steps(file.read_text(encoding="utf-8")):
        if instruction == "FROM":
            found.append(Stage(argument.partition(" AS ")[2]))
        elif found:
            found[-1].steps.append((instruction, argument))
    return found


def ignored(path: str) -> bool:
    """What .dockerignore, which lists what is let in, says of a path below the context."""
    lines = (CONTEXT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return path.partition("/")[0] not in {line[1:] for line in lines if line.startswith("!")}


@dataclass
class Image:
    """The root of an image. Its base is a Python with pip: that of the tests, if it has one."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def build(self) -> None:
        (self.root / "app").mkdir()
        self.environment["PATH"] = f"{self._base()}:/usr/bin:/bin"
        (self.root / "tmp").mkdir(mode=0o777)
        (self.root / "tmp").chmod(0o777)
        for stage in stages():
            for instruction, argument in stage.steps:
                self._do(instruction, argument)

    def command(self, *arguments: str) -> list[str]:
        """What `docker run IMAGE ARGUMENTS` runs."""
        (entrypoint,) = stages()[-1].of("ENTRYPOINT")
        return [*map(self.placed, json.loads(entrypoint)), *arguments]

    def placed(self, text: str) -> str:
        return OWNED.sub(rf"{self.root}/\1", text)

    def _base(self) -> Path:
        if find_spec("pip"):
            return Path(sys.executable).parent
        subprocess.run([sys.executable, "-m", "venv", self.root / "usr"], check=True)
        return self.root / "usr/bin"

    def _do(self, instruction: str, argument: str) -> None:
        match instruction:
            case "COPY":
                self._copy(argument)
            case "RUN":
                # Only root may give a folder to somebody else.
                owner = USER if os.geteuid() == 0 else os.geteuid()
                self._run(self.placed(argument).replace(str(USER), str(owner)))
            case "WORKDIR":
                Path(self.placed(argument)).mkdir(exist_ok=True)
            case "ENV":
                for word in shlex.split(argument):
                    name, _, value = word.partition("=")
                    self.environment[name] = self.placed(value).replace("$PATH", self.environment["PATH"])

    def _run(self, line: str) -> None:
        ways_out = {
            name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "https_"))
        }
        done = subprocess.run(
            ["sh", "-c", line],
            cwd=self.root / "app",
            env={**ways_out, **FASTER, **self.environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    def _copy(self, argument: str) -> None:
        *options, source, target = argument.split()
        if options:  # from the stage before, which has the same root here
            assert options == ["--from=build"]
            assert source == target
            return
        assert not ignored(source)
        if (CONTEXT / source).is_dir():
            shutil.copytree(
                CONTEXT / source, self.root / "app" / target, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(CONTEXT / source, self.root / "app" / target)


def _steps(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(words[0], words[2]) for words in (line.partition(" ") for line in whole.splitlines())]
