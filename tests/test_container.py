"""The image that a baked project builds: what goes into it, and, where buildah is, the image built and trained in."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import NO_NETWORK, Bake, cookiecutter, git, run

PYTHONS = ["3.11", "3.12", "3.13"]
COPIED = ["src/", "configs/", "docker/", "pyproject.toml", "requirements.txt"]
UNWANTED = [
    ".env",
    ".venv/bin/python",
    "configs/user/me.yaml",
    "data/docstrings/samples.parquet",
    "runs/2026-01-01/12-00-00/checkpoints/last.ckpt",
    "src/.ruff_cache/file",
    "src/first_spark/__pycache__/errors.cpython-311.pyc",
    "predictions.csv",
]
ODD_TEXT = "It's #1: $HOME costs $5"


def instructions(dockerfile: str) -> list[str]:
    """Return each instruction of a Dockerfile on one line, without comments."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE)
    return re.sub(r"\s*\\\n\s*", " ", text).split("\n")


@pytest.mark.parametrize("answers", [{}, {"license": "none"}, {"description": ODD_TEXT}], ids=str)
def test_hadolint_has_nothing_to_say(answers: dict[str, str], bake: Bake) -> None:
    project = bake(**answers)
    run(Path(sys.executable).parent / "hadolint", "Dockerfile", cwd=project)


@pytest.mark.parametrize("python", PYTHONS)
def test_every_stage_begins_with_the_chosen_python(python: str, bake: Bake) -> None:
    lines = instructions((bake(python_version=python) / "Dockerfile").read_text(encoding="utf-8"))
    assert f'ARG PYTHON_VERSION="{python}"' in lines
    assert "ARG BASE_IMAGE=docker.io/library/python:${PYTHON_VERSION}-slim-bookworm" in lines
    stages = [line.split() for line in lines if line.startswith("FROM ")]
    assert [stage[3] for stage in stages] == ["uv", "runtime", "train"]
    assert {stage[1] for stage in stages} == {"${BASE_IMAGE}", "runtime"}


def test_no_key_can_be_built_into_the_image(bake: Bake) -> None:
    lines = instructions((bake() / "Dockerfile").read_text(encoding="utf-8"))
    names = [
        name for line in lines if line.startswith(("ARG ", "ENV ")) for name in re.findall(r"([A-Z_]+)(?:=|$)", line)
    ]
    assert "DEVICE" in names
    assert [name for name in names if re.search("KEY|TOKEN|SECRET|PASSWORD", name)] == []


def test_training_never_runs_as_root(bake: Bake) -> None:
    lines = instructions((bake() / "Dockerfile").read_text(encoding="utf-8"))
    target = lines[lines.index("FROM runtime AS train") :]
    assert [line for line in target if line.startswith("USER ")] == ["USER 1000"]


def in_context(path: str, patterns: list[str]) -> bool:
    """Whether `.dockerignore` lets a file into the context: the last pattern that fits it or a folder above decides."""
    parts = path.split("/")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    kept = True
    for pattern in patterns:
        glob = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(glob, folder) for folder in above):
            kept = pattern.startswith("!")
    return kept


@pytest.fixture
def littered(bake: Bake, tmp_path: Path) -> Path:
    """A project that was worked in: data, runs, an environment, caches, and a user's keys."""
    project = tmp_path / "littered"
    shutil.copytree(bake(), project)
    for name in UNWANTED:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("WANDB_API_KEY: secret\n", encoding="utf-8")
    return project


def wanted(project: Path) -> list[str]:
    """Return the files in git that the image is made of."""
    tracked = git("ls-files", "-z", cwd=project).rstrip("\0").split("\0")
    return sorted(name for name in tracked if name.startswith(tuple(COPIED)) or re.fullmatch(r"[^/]+\.py", name))


def found(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def test_the_context_holds_what_the_image_is_made_of_and_nothing_else(littered: Path) -> None:
    lines = (littered / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    context = [name for name in found(littered) if in_context(name, patterns)]
    assert context == wanted(littered)
    assert {"train.py", "configs/user/sample.yaml", "docker/train.sh"} <= set(context)


def test_the_dev_container_sets_the_project_up(bake: Bake) -> None:
    for python in PYTHONS:
        project = bake(python_version=python)
        settings = json.loads((project / ".devcontainer/devcontainer.json").read_text(encoding="utf-8"))
        assert settings["image"] == f"mcr.microsoft.com/devcontainers/python:{python}-bookworm"
    steps = settings["postCreateCommand"].split(" && ")
    assert "make setup" in steps
    assert (project / steps[-1].split()[-1]).exists()
    (pin,) = re.findall(r"uv==[\d.]+", settings["postCreateCommand"])
    assert pin in (project / "Dockerfile").read_text(encoding="utf-8")


def test_make_image_says_when_there_is_nothing_to_build_with(bake: Bake, tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    make = shutil.which("make")
    assert make
    done = run(make, "image", cwd=bake(), check=False, environment={"PATH": str(tmp_path)})
    assert done.returncode == 2
    assert "error: no docker, podman or buildah that answers; start or install one" in done.stdout


@dataclass
class Buildah:
    """buildah with a storage of its own, and the base image of the default answers in it."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run("buildah", *arguments, cwd=self.folder, environment=self.environment, check=check)

    def mounted(self, image: str) -> Path:
        container = self("from", "--pull-never", image).stdout.strip()
        return Path(self("mount", container).stdout.strip())

    def clean(self) -> None:
        self("rm", "--all")  # unmounts them
        shutil.rmtree(self.folder)


def start_buildah(folder: Path) -> Buildah:
    """Return a buildah that works here: with overlays, or with copies where they cannot be mounted."""
    settings = folder / "storage.conf"
    storage = {"CONTAINERS_STORAGE_CONF": str(settings), "TMPDIR": str(folder), "BUILDAH_ISOLATION": "chroot"}
    buildah = Buildah(folder, storage)
    for driver in ("overlay", "vfs"):
        lines = [f'driver = "{driver}"', f'graphroot = "{folder}/{driver}"', f'runroot = "{folder}/{driver}-run"']
        settings.write_text("\n".join(["[storage]", *lines, ""]), encoding="utf-8")
        if buildah("info", check=False).returncode == 0:
            return buildah
    pytest.skip("buildah cannot store images here")


def add_base_image(buildah: Buildah, image: str) -> None:
    """Pull the image, or make one of Debian's own Python where no registry is in reach."""
    if buildah("pull", "--quiet", "--retry", "0", image, check=False).returncode == 0:
        return
    if not shutil.which("debootstrap") or os.getuid():
        pytest.skip(f"{image} cannot be pulled, and there is no debootstrap (or no root) to make one")
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"], capture_output=True, text=True
    )
    mirrors = [line.split()[0] for line in targets.stdout.splitlines() if line.endswith(" bookworm main")]
    system = buildah.folder / "system"
    packages = "--include=python3,python3-venv,ca-certificates"
    done = run(
        "debootstrap", "--variant=minbase", packages, "bookworm", system, *mirrors[:1], cwd=buildah.folder, check=False
    )
    if done.returncode:
        pytest.skip(f"debootstrap: {done.stdout.splitlines()[-1]}")
    container = buildah("from", "scratch").stdout.strip()
    buildah("add", "--quiet", container, system, "/")
    buildah("commit", "--quiet", "--rm", container, image)
    shutil.rmtree(system)


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    if not shutil.which("buildah"):
        pytest.skip("no buildah on this machine")
    buildah = start_buildah(tmp_path_factory.mktemp("buildah"))
    yield buildah
    buildah.clean()


def options() -> str:
    """Return the options of a build that sees the package indexes and certificates that this machine sees."""
    words = []
    if certificates := os.environ.get("PIP_CERT"):
        words += ["--volume", f"{certificates}:/etc/ssl/certs/ca-certificates.crt:ro"]
    if index := os.environ.get("PIP_INDEX_URL"):
        words += ["--build-arg", f"PIP_INDEX_URL={index}"]
    if links := os.environ.get("PIP_FIND_LINKS"):
        words += ["--build-arg", f"PIP_FIND_LINKS={links}", "--build-arg", "TORCH_INDEX="]
        words += ["--volume", f"{links}:{links}:ro"] if Path(links).is_dir() else []
    return " ".join(words)


@dataclass
class Image:
    """An image of a baked project, as `make image` builds it, and a container of it."""

    buildah: Buildah
    project: Path
    name: str = "localhost/first_spark:latest"

    def build(self, *variables: str, check: bool = True) -> str:
        make = ["make", "image", "ENGINE=buildah", f"OPTIONS={options()}", *variables]
        done = run(*make, cwd=self.project, environment=self.buildah.environment, check=check)
        return done.stdout + done.stderr

    def config(self) -> dict[str, object]:
        config: dict[str, object] = json.loads(self.buildah("inspect", "--type", "image", self.name).stdout)
        return config

    def layers(self) -> dict[str, int]:
        """Return the size of each layer in bytes, by its digest."""
        manifest = json.loads(str(self.config()["Manifest"]))
        return {layer["digest"]: layer["size"] for layer in manifest["layers"]}

    def command(self, volumes: Path, *arguments: str, user: str = "") -> list[str]:
        """Return the command that runs the image's entry point without network, with folders for data and runs."""
        container = self.buildah("from", "--pull-never", self.name).stdout.strip()
        words = ["unshare", "--net"] if os.getuid() == 0 else []
        words += ["buildah", "run", *[f"--env={name}={value}" for name, value in NO_NETWORK.items()]]
        for name in ("data", "runs"):
            (volumes / name).mkdir(exist_ok=True)
            (volumes / name).chmod(0o777)  # so that the image's user may write there
            words += ["--volume", f"{volumes / name}:/app/{name}"]
        words += ["--user", user] if user else []
        config: dict[str, list[str]] = self.config()["OCIv1"]["config"]  # type: ignore[index]
        return [*words, container, "--", *config["Entrypoint"], *arguments]

    def run(self, volumes: Path, *arguments: str, user: str = "") -> str:
        command = self.command(volumes, *arguments, user=user)
        done = run(*command, cwd=volumes, environment=self.buildah.environment)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def image(buildah: Buildah, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    output = tmp_path_factory.mktemp("image")
    run(*cookiecutter(template, output, description=ODD_TEXT), cwd=output)
    (project,) = output.iterdir()
    add_base_image(buildah, "docker.io/library/python:3.11-slim-bookworm")
    image = Image(buildah, project)
    start = time.monotonic()
    assert "+ torch==" in image.build()
    print(f"built in {time.monotonic() - start:.0f} s; layers in MB: {[s // 10**6 for s in image.layers().values()]}")
    return image


@pytest.fixture(scope="module")
def trained(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the data and the run that a first container left."""
    volumes = tmp_path_factory.mktemp("volumes")
    start = time.monotonic()
    output = image.run(volumes, "debug=fast", "model=bow", "paths.run=runs/first")
    print(f"trained in {time.monotonic() - start:.0f} s")
    assert "Making data/docstrings" in output
    return volumes


@pytest.mark.slow
def test_the_context_is_what_the_patterns_say(buildah: Buildah, littered: Path) -> None:
    (buildah.folder / "Context").write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    buildah("build", "--file", buildah.folder / "Context", "--tag", "context", littered)
    assert found(buildah.mounted("localhost/context")) == wanted(littered)


@pytest.mark.slow
def test_it_trains_and_leaves_the_run_outside(image: Image, trained: Path) -> None:
    run_folder = trained / "runs/first"
    assert (run_folder / "checkpoints/best.ckpt").stat().st_uid == 1000
    assert "model=bow" in (run_folder / ".hydra/overrides.yaml").read_text(encoding="utf-8")


@pytest.mark.slow
def test_any_user_trains_on_the_data_that_are_there(image: Image, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "data", tmp_path / "data")
    output = image.run(tmp_path, "debug=fast", "model=bow", "paths.run=runs/second", user="4321:4321")
    assert "Making data" not in output
    assert (tmp_path / "runs/second/checkpoints/best.ckpt").stat().st_uid == 4321


@pytest.mark.slow
def test_the_other_commands_are_there_too(image: Image, trained: Path) -> None:
    assert "accuracy" in image.run(trained, "evaluate.py", "checkpoint=runs/first")
    assert "python train.py [group=choice]" in image.run(trained, "--help")


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["data", "runs"])
def test_a_folder_that_it_may_not_write_to_is_one_line(folder: str, image: Image, tmp_path: Path) -> None:
    command = image.command(tmp_path, "model=bow")
    (tmp_path / folder).chmod(0o755)  # as where docker made it, because nobody had
    done = run(*command, cwd=tmp_path, environment=image.buildah.environment, check=False)
    assert f"error: user 1000 of the container may not write to /app/{folder}; make the folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert found(tmp_path) == []


def pythons(argument: str) -> list[int]:
    """Return the processes of this machine that are Python and have the argument."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if words[0] == "python" and argument in words:
            found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_a_stopped_container_goes_on_where_it_stopped(image: Image, trained: Path) -> None:
    options = ["model=bow", "trainer.max_epochs=1000", "callbacks.early_stopping.patience=1000"]
    command = image.command(trained, *options, "paths.run=runs/stopped")
    environment = os.environ | image.buildah.environment
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as training:
        deadline = time.monotonic() + 120
        while not (trained / "runs/stopped/checkpoints/last.ckpt").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        (process,) = pythons("paths.run=runs/stopped")  # what `docker stop` sends its signal to
        os.kill(process, signal.SIGTERM)
        _, errors = training.communicate(timeout=60)
    assert "interrupted by SIGTERM; go on with: python train.py resume=runs/stopped" in errors
    resumed = image.run(trained, "resume=runs/stopped", "trainer.max_epochs=1")
    assert "Resuming from runs/stopped/checkpoints/last.ckpt" in resumed


@pytest.mark.slow
def test_the_image_holds_what_training_needs_and_no_more(image: Image) -> None:
    config: dict[str, object] = image.config()["OCIv1"]["config"]  # type: ignore[index]
    assert (config["User"], config["WorkingDir"]) == ("1000", "/app")
    labels: dict[str, str] = config["Labels"]  # type: ignore[assignment]
    assert labels["org.opencontainers.image.description"] == ODD_TEXT
    assert labels["org.opencontainers.image.revision"] == git("describe", "--always", cwd=image.project).strip()
    root = image.buildah.mounted(image.name)
    assert found(root / "opt/uv") + found(root / "root/.cache") + found(root / "home/trainer/.cache") == []
    packages = {path.name.split("-")[0] for path in (root / "opt/venv").glob("lib/python*/site-packages/*.dist-info")}
    assert {"torch", "wandb", "hydra_core"} <= packages
    assert packages & {"pytest", "mypy", "ruff", "dvc", "pip", "nvidia_cublas", "triton"} == set()
    assert not [name for name in ("cc", "gcc", "git") if (root / "usr/bin" / name).exists()]


@pytest.mark.slow
def test_a_changed_source_file_installs_nothing_again(image: Image) -> None:
    before = image.layers()
    with (image.project / "src/first_spark/tasks.py").open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    start = time.monotonic()
    output = image.build()
    print(f"built again in {time.monotonic() - start:.0f} s")
    assert "Using cache" in output and "+ torch==" not in output
    after = image.layers()
    assert sum(size for digest, size in after.items() if digest not in before) < 5 * 10**6
    changed = image.buildah.mounted(image.name) / "app/src/first_spark/tasks.py"
    assert changed.read_text(encoding="utf-8").endswith("# changed\n")


@pytest.mark.slow
def test_an_unknown_device_is_refused(image: Image) -> None:
    assert "DEVICE=gpu: choose cpu or cuda" in image.build("DEVICE=gpu", check=False)
