"""The docstrings of Python's own standard library: real text that every machine already has."""

import ast
import math
import platform
import sysconfig
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kindling.data.text import TextData

AREAS = {
    "concurrency": "_threading_local asyncio concurrent multiprocessing queue sched subprocess threading",
    "files": """_pyio bz2 dbm filecmp fileinput fnmatch genericpath glob gzip io lzma ntpath os pathlib pickle
        pickletools posixpath shelve shutil sqlite3 stat tarfile tempfile wave zipfile""",
    "interfaces": "argparse cmd curses getopt getpass optparse pty rlcompleter tkinter tty turtle",
    "language": """_collections_abc abc ast code codeop collections contextlib copy dataclasses dis enum functools
        graphlib inspect keyword opcode operator pyclbr pydoc symtable tokenize types typing weakref""",
    "mail": "email mailbox mailcap mimetypes quopri",
    "networking": """asynchat asyncore cgi ftplib http imaplib ipaddress netrc nntplib poplib selectors smtpd smtplib
        socket socketserver ssl telnetlib urllib uuid webbrowser wsgiref xmlrpc""",
    "numbers": """_pydatetime _pydecimal _strptime bisect calendar colorsys datetime fractions hashlib heapq hmac
        numbers random secrets statistics zoneinfo""",
    "packaging": "distutils imp importlib modulefinder pkgutil platform runpy site sysconfig venv zipapp zipimport",
    "testing": "bdb cProfile doctest faulthandler pdb profile pstats timeit trace traceback tracemalloc unittest",
    "text": """base64 codecs configparser csv difflib encodings gettext html json locale logging plistlib pprint re
        reprlib shlex string textwrap tomllib xml""",
}


HOLDERS = (ast.stmt, ast.ExceptHandler, ast.match_case)


class Docstrings(TextData):
    """What a docstring is about: the area of the standard library that its module belongs to, one of ten."""

    embedded = True

    def samples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        area_of = {module: area for area, modules in AREAS.items() for module in modules.split()}
        library = Path(sysconfig.get_paths()["stdlib"])
        files = [path for module in area_of for path in (library / f"{module}.py", *(library / module).rglob("*.py"))]
        seen = set()
        for path in sorted(filter(Path.exists, files)):
            module = path.relative_to(library).parts[0].removesuffix(".py")
            if {"test", "tests", "idle_test"} & set(path.parts[len(library.parts) :]):
                continue
            for text, lines in _docstrings(path):
                if text not in seen:
                    seen.add(text)
                    yield f"{path}", {"text": text, "label": self.label(area_of[module], lines)}

    def label(self, area: str, lines: int) -> str | float:
        return area

    def fingerprint(self) -> str:
        return f"Python {platform.python_version()}"


class DocstringLines(Docstrings):
    """How much code a docstring stands for: the natural logarithm of the number of lines that it documents."""

    def label(self, area: str, lines: int) -> float:
        return math.log(lines)


def _docstrings(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the docstrings of three words or more, each with the number of lines of what it documents."""
    source = path.read_bytes()
    for node in _statements(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            text = ast.get_docstring(node)
            if text and len(text.split()) >= 3:
                end = node.end_lineno or node.lineno if not isinstance(node, ast.Module) else source.count(b"\n") + 1
                start = node.lineno if not isinstance(node, ast.Module) else 0
                docstring_lines = text.count("\n") + 1
                yield text, max(1, end - start - docstring_lines)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield what may hold definitions, in the order of `ast.walk`, which looks into expressions, too."""
    nodes = deque([tree])
    while nodes:
        node = nodes.popleft()
        yield node
        nodes.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, HOLDERS))
