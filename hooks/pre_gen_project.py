"""Refuse, before anything is written, the answers that no project can be made of."""

import json
import keyword
import re
import sys
from pathlib import Path

PLACEHOLDER = "my_project"  # the name in the template folder, which the other hook replaces
ENGINE = "kindling"  # the package beside the user's own

# What a project installs, directly or not, and what it may come to: names of imports and, with _ for -, of packages.
DEPENDENCIES = """
absl absl_py accelerate aiohappyeyeballs aiohttp aiohttp_retry aiosignal alembic amqp annotated_doc annotated_types
antlr4 antlr4_python3_runtime anyio appdirs ast_serialize asyncssh atpublic attr attrs billiard captum celery certifi
cffi cfgv charset_normalizer click click_didyoumean click_plugins click_repl cloudpickle cmaes colorama colorlog
comet_ml configobj contourpy cookiecutter coverage cruft cryptography cwevals cycler datasets dateutil dictdiffer dill
diskcache distlib distro dpath dulwich dvc dvc_data dvc_http dvc_objects dvc_render dvc_studio_client dvc_task
entrypoints evaluate evidently execnet fastapi filelock flatten_dict flufl_lock fonttools frozenlist fsspec functorch
funcy git gitdb gitpython google googleapis_common_protos grandalf greenlet grpc grpcio gto h11 hf_xet httpcore
httpcore2 httpx httpx2 httpx2_jsfetch huggingface_hub hydra hydra_colorlog hydra_core hydra_zen identify idna
iniconfig isympy iterative_telemetry jinja2 joblib kiwisolver kombu kornia librt lightning lightning_fabric
lightning_utilities litserve mako markdown markdown_it markdown_it_py markupsafe matplotlib mdurl mlflow mlflow_skinny
mpmath multidict multiprocess mypy mypy_extensions mypyc networkx nodeenv numpy omegaconf onnx onnxruntime
opentelemetry opentelemetry_api opentelemetry_exporter_http_transport opentelemetry_exporter_otlp_common
opentelemetry_exporter_otlp_proto_common opentelemetry_exporter_otlp_proto_http opentelemetry_proto opentelemetry_sdk
opentelemetry_semantic_conventions optuna orjson packaging pandas pathspec peft pil pillow pip platformdirs pluggy
pre_commit prompt_toolkit propcache protobuf psutil py pyarrow pycparser pydantic pydantic_core pydantic_settings
pydot pygit2 pygments pygtrie pyparsing pytest pytest_cov pytest_xdist python_dateutil python_discovery python_dotenv
pytorch_lightning pywin32 pyyaml ray regex requests rich ruamel ruamel_yaml ruff safetensors scikit_learn scipy
scmrepo semver serial setuptools shellingham shortuuid shtab six sklearn smmap sniffio sqlalchemy sqltrie submitit
sympy tabulate tensorboard tensorboard_data_server tokenizers tomlkit torch torch_geometric torchdata torchgen
torchmetrics torchvision tqdm transformers truststore typer typing_extensions typing_inspection tzdata tzlocal urllib3
uv uvicorn vine virtualenv voluptuous wandb wcwidth werkzeug wheel xxhash yaml yarl zc_lockfile zmq
"""

# The project's own folders and commands: a package of that name would hide them, or be hidden.
OWN = """
build checklist compare configs conftest data deploy dist docker docs drift evaluate export hooks make_dataset
notebooks predict results runs serve setup src test tests train
"""


def refuse_package(package: str) -> str | None:
    """Say why `package` cannot be the import name, or return None."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", package):
        return "is not a name that Python imports: use lower-case ASCII letters, digits and underscores, a letter first"
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        return "is a keyword of Python"
    if package in sys.stdlib_module_names:
        return "is a module of Python's standard library"
    if package in DEPENDENCIES.split():
        return "is the name of a library that the project may use"
    if package in OWN.split():
        return "is the name of one of the project's own folders or commands"
    if package == ENGINE:
        return "is the name of the engine, which lies beside the package"
    if package == PLACEHOLDER:
        return "is the name that the template uses for itself"
    return None


def refuse_project(project: str) -> str | None:
    """Say why `project` cannot be the name of the folder and the distribution, or return None."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", project):
        return "cannot name a folder and a distribution: use ASCII letters, digits and . _ - between them"
    name = re.sub(r"[-_.]+", "_", project).lower()  # pip compares names like this, with a hyphen
    if name in DEPENDENCIES.split():
        return "is the name of a library that the project may install"
    if name == ENGINE:
        return "is the name of the engine, which the project installs"
    if name == PLACEHOLDER:
        return "is the name that the template uses for itself"
    return None


def refuse_text(text: str) -> str | None:
    """Say why `text` cannot stand in quotes in every file, or return None."""
    if not text.strip():
        return "is empty: give at least a word"
    if wrong := re.search(r'["\\{}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]', text):
        return f"holds {wrong.group()!a}: leave out double quotes, backslashes, braces and control characters"
    return None


def refuse_email(email: str) -> str | None:
    """Say why `email` cannot be an address, or return None."""
    if not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`~|-]+@[^\s@<>(),:;\[\]]+", email):
        return "does not look like an address: write it as name@example.com"
    return refuse_text(email)


def refuse_members(members: str) -> str | None:
    """Say why `members` cannot be names of GitHub users or teams, or return None."""
    for name in members.split():
        if not re.fullmatch(r"@?[A-Za-z0-9](-?[A-Za-z0-9]){0,38}(/[A-Za-z0-9._-]+)?", name):
            return f"holds {name!a}, which is no GitHub name: give user names or org/team, with spaces between"
    return None


def refusals(answers: dict[str, str]) -> list[str]:
    """Return one line for each answer that has to be another."""
    checks = {
        "project_name": refuse_text,
        "project": refuse_project,
        "package": refuse_package,
        "description": refuse_text,
        "author": refuse_text,
        "email": refuse_email,
        "members": refuse_members,
    }
    lines = []
    for key, check in checks.items():
        if reason := check(answers[key]):
            remedy = "" if ":" in reason else f": choose another, {answers[key]}_lab say"
            lines.append(f"{key}={printable(answers[key])} {reason}{remedy}")
    return lines


def printable(answer: str) -> str:
    """Return `answer` in quotes, on one line, for any terminal."""
    return repr(answer).encode("ascii", "backslashreplace").decode()


def occupied(folder: Path) -> bool:
    """Tell whether `folder` holds more than an empty repository."""
    return any(path.name != ".git" for path in folder.iterdir())


if __name__ == "__main__":
    errors = refusals(json.loads(r"""{{ cookiecutter | tojson }}"""))
    if occupied(Path.cwd()):
        errors.append(f"{printable(str(Path.cwd()))} is not empty: bake elsewhere, or run make update in a project")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(1 if errors else 0)
