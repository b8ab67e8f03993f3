"""The walk through the API: `api.http` as steps, and the Bruno collection `bruno/` made from them.

    .venv/bin/python -m tools.walk      writes the collection anew

`api.http` is the source; a test holds the collection to it.
"""

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COLLECTION = ROOT / "bruno"
FOLDER = "walk"
# `{{login.response.body.access}}`
REFERENCE = re.compile(r"\{\{(\w+)\.response\.body\.([^}]+)\}\}")
INDENT = "  "


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request. `name`: what later steps call its answer, empty where none does; `status`: what comes back."""

    title: str
    name: str
    status: int
    method: str
    url: str
    headers: dict[str, str]
    body: str


def steps(text: str) -> list[Step]:
    """Return the requests of an `.http` file, each with the `# -> status` that it expects."""
    found = []
    for part in text.split("\n### ")[1:]:
        title, *lines = part.rstrip().splitlines()
        remarks = [line.removeprefix("# ") for line in lines if line.startswith("#")]
        head, _, body = "\n".join(line for line in lines if not line.startswith("#")).partition("\n\n")
        line, *headers = head.splitlines()
        method, url = line.split(" ", 1)
        found.append(
            Step(
                title=title,
                name=next((remark.removeprefix("@name ") for remark in remarks if remark.startswith("@name ")), ""),
                status=next(int(remark.removeprefix("-> ")) for remark in remarks if remark.startswith("-> ")),
                method=method,
                url=url,
                headers=dict(header.split(": ", 1) for header in headers),
                body=body.strip(),
            )
        )
    return found


def collection(walk: list[Step], host: str) -> dict[str, str]:
    """Return the files of the Bruno collection by their paths in it."""
    text = "\n".join(f"{step.url}\n{step.headers}\n{step.body}" for step in walk)
    wanted = dict.fromkeys(REFERENCE.findall(text))
    settings = {"version": "1", "name": "Alviar", "type": "collection", "ignore": ["node_modules", ".git"]}
    return {
        "bruno.json": json.dumps(settings, indent=2) + "\n",
        "environments/local.bru": _block("vars", [f"host: {host}"]),
        **{
            f"{FOLDER}/{place:02} {_file_name(step.title)}.bru": _request(step, place, wanted)
            for place, step in enumerate(walk, start=1)
        },
    }


def _file_name(title: str) -> str:
    return re.sub(r"[^\w' -]", "", re.split(r"[;(]", title)[0]).strip()


def _request(step: Step, place: int, wanted: Iterable[tuple[str, str]]) -> str:
    headers = {name: value for name, value in step.headers.items() if name != "Content-Type" or not step.body}
    kept = [f"{_variable(name, path)}: res.body.{path}" for name, path in wanted if step.name and name == step.name]
    blocks = [
        _block("meta", [f"name: {_file_name(step.title)}", "type: http", f"seq: {place}"]),
        _block(
            step.method.lower(),
            [f"url: {_with_variables(step.url)}", f"body: {'json' if step.body else 'none'}", "auth: none"],
        ),
        _block("headers", [f"{name}: {_with_variables(value)}" for name, value in headers.items()]),
        _block("body:json", _with_variables(step.body).splitlines()),
        _block("vars:post-response", kept),
        _block("assert", [f"res.status: eq {step.status}"]),
        _block("settings", ["encodeUrl: false"]),
        _block("docs", [step.title]),
    ]
    return "\n".join(block for block in blocks if block)


def _block(name: str, lines: list[str]) -> str:
    return "\n".join([f"{name} {{", *(INDENT + line for line in lines), "}", ""]) if lines else ""


def _with_variables(text: str) -> str:
    return REFERENCE.sub(lambda match: f"{{{{{_variable(match[1], match[2])}}}}}", text)


def _variable(name: str, path: str) -> str:
    return re.sub(r"\W+", "_", f"{name}_{path}")


def of_the_repository() -> dict[str, str]:
    """Return the collection as `api.http` has it now."""
    text = (ROOT / "api.http").read_text()
    host = re.search(r"^@host = (\S+)$", text, re.M)
    assert host, "api.http names no @host"  # noqa: S101
    return collection(steps(text), host[1])


def main() -> None:
    shutil.rmtree(COLLECTION / FOLDER, ignore_errors=True)
    for path, text in of_the_repository().items():
        file = COLLECTION / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
