"""Every code block of the documents and docstrings is executed, type-checked or parsed, by its language.

What is executed: `tests/test_readme.py` (READMEs, tutorials, deploying), `client/scripts/check-types.mjs` (ts, tsx).
The rest is parsed here by the parser of its language. `SHOWN` lists what no parser reads, with the reason.
"""

import ast
import configparser
import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from django.conf import settings
from django.core.management import get_commands
from jsonschema import Draft202012Validator

from chat.protocol import asyncapi
from config import settings as module
from config.documentation import document

ROOT = Path(settings.BASE_DIR)
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "README.fr.md", "CONTRIBUTING.md", "SECURITY.md", "client/README.md")),
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Languages that nothing parses: where such blocks stand, and why.
SHOWN = {
    "text": "a picture of layers, of folders, or what a command printed",
}
# `{…}` in a path of the documents: any parameter.
PARAMETER = re.compile(r"\{[^}]*\}")
FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.M | re.S)
PACKAGES = ("benchmarks", "chat", "common", "config", "sessions", "tests", "tools", "users")
# What of npm is used in documents: programs of others, and commands of npm itself.
SHELL_WORDS = re.compile(r"\bmake ([a-z-]+)|manage\.py (\w+)|npm run ([\w:-]+)|python -m ([\w.]+)")


class Block(NamedTuple):
    where: str
    language: str
    text: str


def _blocks() -> list[Block]:
    found = []
    for file in DOCUMENTS:
        text = file.read_text()
        for match in FENCE.finditer(text):
            line = text[: match.start()].count("\n") + 1
            indent = len(match[1])
            code = "".join(row[indent:] for row in match[3].splitlines(keepends=True))
            found.append(Block(f"{file.relative_to(ROOT)}:{line}", match[2], code))
    return found


BLOCKS = _blocks()


def of(*languages: str) -> list[object]:
    return [pytest.param(block, id=block.where) for block in BLOCKS if block.language in languages]


CHECKED = {"bash", "sh", "js", "ts", "tsx", "json", "python", "ini", "http"}


def test_every_block_names_a_language_that_is_checked_or_listed():
    unknown = {block.where: block.language for block in BLOCKS if block.language not in CHECKED | set(SHOWN)}
    assert unknown == {}
    assert set(SHOWN) == {block.language for block in BLOCKS} - CHECKED


@pytest.mark.parametrize("block", of("bash", "sh"))
def test_shell_is_shell_and_names_what_there_is(block: Block):
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    scripts = json.loads((ROOT / "client" / "package.json").read_text())["scripts"]
    for target, command, script, name in SHELL_WORDS.findall(block.text):
        assert not target or target in targets, target
        assert not command or command in get_commands(), command
        assert not script or script in scripts or script == "dev", script
        assert not name or importlib.util.find_spec(name), name
    everything = "".join(other.text for other in BLOCKS)
    for name in re.findall(r"^(?:export )?([A-Z][A-Z0-9_]{3,})=| ([A-Z][A-Z0-9_]{3,})=", block.text, re.M):
        said = name[0] or name[1]
        assert said in module.env.declared or f"${said}" in everything or said in OF_OTHERS, said


OF_OTHERS = {"CHROMIUM"}  # which browser the page's tests use


@pytest.mark.parametrize("block", of("js"))
def test_javascript_parses(block: Block, tmp_path: Path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs Node")
    for place, part in enumerate(re.split(r"^// [\w-]+\.js$", block.text, flags=re.M)):  # several files in one block
        file = tmp_path / f"block{place}.mjs"
        file.write_text(part)
        done = subprocess.run([node, "--check", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_typescript_is_compiled_by_the_package():
    script = (ROOT / "client" / "scripts" / "check-types.mjs").read_text()
    [listed] = re.findall(r"const documents = \[(.*?)\]", script, re.S)
    compiled = {(ROOT / "client" / name).resolve() for name in re.findall(r"'([^']+)'", listed)}
    written = {(ROOT / block.where.rpartition(":")[0]).resolve() for block in BLOCKS if block.language in {"ts", "tsx"}}
    assert written == compiled


@pytest.mark.parametrize("block", of("json"))
def test_json_is_what_the_document_describes(block: Block):
    shown = _documents(block.text)
    assert shown
    whole, socket = document()["components"], asyncapi.document()
    for one in shown:
        if "type" in one:
            names = [name for name in socket["components"]["messages"] if name.partition("_")[2] == one["type"]]
            schemas = [{**socket["components"]["messages"][name]["payload"], **socket} for name in names]
        else:
            names = ["Error"] if "request_id" in one else ["AttachmentOutput"]
            schemas = [{"$ref": f"#/components/schemas/{name}", "components": whole} for name in names]
        # An id that is left out (`…`) is no UUID, and formats are not asserted here.
        assert any(Draft202012Validator(schema).is_valid(one) for schema in schemas), one


def _documents(text: str) -> list[dict[str, object]]:
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        one, end = decoder.raw_decode(text)
        found.append(one)
        text = text[end:].strip()
    return found


@pytest.mark.parametrize("block", of("python"))
def test_python_compiles(block: Block):
    compile(block.text, block.where, "exec")


@pytest.mark.parametrize("block", of("ini"))
def test_settings_are_settings(block: Block):
    parser = configparser.RawConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string("[block]\n" + block.text)
    for name in parser["block"]:
        if name.isupper():
            plain = name.removesuffix("_FILE")
            assert plain in module.env.declared or _of_a_provider(plain), name
        else:
            assert name in POSTGRESQL, name


POSTGRESQL = {"archive_mode", "archive_command", "archive_timeout"}


def _of_a_provider(name: str) -> bool:
    """Return whether it is a setting of one sign-in provider, whose name the operator chooses."""
    example = (ROOT / ".env.example").read_text()
    kinds = set(re.findall(r"SOCIAL_(?:GOOGLE|APPLE|[A-Z]+)_([A-Z_]+)=", example))
    return bool(match := re.fullmatch(r"SOCIAL_[A-Z]+?_([A-Z_]+)", name)) and match[1] in kinds


@pytest.mark.parametrize("block", of("http"))
def test_calls_are_operations_with_keys_that_they_take(block: Block):
    known = _operations()
    schemas = document()["components"]["schemas"]
    calls = re.findall(
        r"^(GET|POST|PUT|PATCH|DELETE)\s+(\S+)([^\n]*(?:\n(?!\s*$|GET|POST|PUT|PATCH|DELETE)[^\n]*)*)", block.text, re.M
    )
    assert calls
    for method, path, rest in calls:
        path = "/api/" + path.removeprefix("/").removeprefix("api/")
        operation = known.get((method.lower(), PARAMETER.sub("{}", path)))
        assert operation, f"{method} {path}"
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        taken = str(schemas.get(body.get("$ref", "").rpartition("/")[2], body))
        for line in rest.splitlines():
            said = line.partition("→")[0].partition("->")[0]
            for key in re.findall(r'"(\w+)":', said):
                assert f"'{key}'" in taken or "$ref" in taken, f"{method} {path} takes no {key}"


def _operations() -> dict[tuple[str, str], dict[str, object]]:
    return {
        (method, PARAMETER.sub("{}", path)): operation
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }


# --- Docstrings ---

# Docstrings with an indented block that is a picture, an answer or a message, not code.
PICTURES = {
    "chat/hub/hub.py": "the way of an event",
    "chat/media/decoder.py": "the messages of a pipe",
    "common/redis_places.py": "the forms of an address",
    "config/health.py": "the body of an answer",
    "config/processes.py": "what happens at each signal",
    "tests/chaos/run.py": "the columns that it prints",
}


def _docstring_blocks() -> list[tuple[str, str]]:
    found = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    said = ast.get_docstring(node) or ""
                    where = str(file.relative_to(ROOT))
                    found += [(where, one) for one in re.findall(r"(?:^|\n\n)((?: {4}[^\n]*\n?)+)", said)]
    return found


def test_code_in_docstrings_is_ours_and_parses():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    pictures = set()
    for where, block in _docstring_blocks():
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if all(re.match(r"(\.venv/bin/)?python -m |make ", line) for line in lines):
            for line in lines:
                name = line.split()[2] if "python -m" in line else line.split()[1]
                assert name in targets or importlib.util.find_spec(name), f"{where}: {line}"
                for option in re.findall(r"(--[a-z-]+)", line.partition("#")[0]):
                    source = (ROOT / f"{name.replace('.', '/')}.py").read_text() + (ROOT / where).read_text()
                    assert f'"{option}"' in source, f"{where}: {option}"
            continue
        try:
            ast.parse("\n".join(line[4:] for line in block.splitlines()))
        except SyntaxError:
            pictures.add(where)
        else:
            if where in PICTURES:  # a JSON body is Python, too
                pictures.add(where)
    assert pictures == set(PICTURES)
