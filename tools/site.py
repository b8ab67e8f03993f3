"""What mkdocs asks for each page (a hook of mkdocs.yml): reference pages made from the code, links that fit the site.

The pages under `reference/` exist only on the site: they are made anew from settings, OpenAPI, frames and commands at
each build, so that they cannot go stale. Documents that stand elsewhere in the repository (`client/README.md`, …) are
pages of the site, too; a link to any other file of the repository becomes its name.
"""

import argparse
import html
import inspect
import itertools
import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Page of the site: document of the repository.
ELSEWHERE = {
    "client.md": "client/README.md",
    "security.md": "SECURITY.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
# Files that other pages of the site tell of.
TOLD_BY = {
    ".env.example": "reference/settings.md",
    "README.md": "README.md",
    "docs": "README.md",
    "docs/adr": "adr/index.md",
}
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((<[^>]+>|[^)\s]+)\)")
OUTSIDE = ("http://", "https://", "mailto:", "#", "/")
COMMANDS_OF = ("chat", "common", "config", "sessions", "users")


def on_files(files: Files, config: Any) -> Files:
    """Add what is made from the code and what stands elsewhere in the repository."""
    _django()
    for page, document in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / document).read_text()))
    for page, write in REFERENCE.items():
        files.append(File.generated(config, page, content=write()))
    files.append(File.generated(config, "adr/index.md", content=decisions()))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Let every link lead to a page of the site; what is no page there becomes plain text."""
    here = page.file.src_uri
    document = ELSEWHERE.get(here, f"docs/{here}")

    def fit(match: re.Match[str]) -> str:
        text, target = match[1], match[2].strip("<>")
        if target.startswith(OUTSIDE):
            return match[0]
        path, _, anchor = target.partition("#")
        named = posixpath.normpath(posixpath.join(posixpath.dirname(document), path))
        found = _page_of(named)
        if found is None:
            if not (ROOT / named).exists():
                raise ValueError(f"{document}: {target} leads nowhere")
            return text if text.startswith("`") else f"{text} (`{named}`)" if text not in named else f"`{named}`"
        relative = posixpath.relpath(found, posixpath.dirname(here) or ".")
        return f"[{text}]({relative}{'#' + anchor if anchor else ''})"

    if here.startswith("reference/") or here == "adr/index.md":
        return markdown
    return _outside_code(markdown, lambda text: LINK.sub(fit, text))


def _page_of(named: str) -> str | None:
    """Return the page of the site that a path of the repository stands on."""
    for page, document in ELSEWHERE.items():
        if named == document:
            return page
    if named in TOLD_BY:
        return TOLD_BY[named]
    if named.startswith("docs/") and named.endswith(".md"):
        page = named.removeprefix("docs/")
        return page if (ROOT / named).exists() or page in REFERENCE else None
    return None


def _outside_code(markdown: str, change: Callable[[str], str]) -> str:
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def _django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()


# --- Reference ---


def settings() -> str:
    """Every setting with its default and what it does, from `.env.example`."""
    lines = [
        "# Settings",
        "",
        "Every setting comes from the environment or from a file `.env`; `NAME_FILE=/path` reads `NAME` from a file.",
        "The default is that of `make run`. A value that cannot be used ends the start with a sentence that says why.",
        "",
    ]
    for kind, said in _settings():
        if kind == "section":
            lines += [f"## {_escaped(said)}", ""]
        elif kind == "text":
            lines += [_escaped(said), ""]
        else:
            lines += ["```ini", said, "```", ""]
    return "\n".join(lines)


def _settings() -> Iterator[tuple[str, str]]:
    """Yield `("section" | "text" | "settings", …)` from the first section on: a text tells of the settings below it."""
    sections = (ROOT / ".env.example").read_text().partition("\n# --- ")[2]
    kinds = (("section", r"# --- (.+)"), ("settings", r"#?([A-Z][A-Z0-9_]+=.*)"), ("text", r"# (.+)"))
    found = (
        next(((kind, match[1]) for kind, shape in kinds if (match := re.fullmatch(shape, line))), ("", ""))
        for line in ("# --- " + sections).splitlines()
    )
    for kind, lines in itertools.groupby(found, key=lambda one: one[0]):
        if kind:
            yield kind, ("\n" if kind == "settings" else " ").join(line for _, line in lines)


def endpoints() -> str:
    """Every operation of the OpenAPI document, in the order of an app's life."""
    from config.documentation import SchemaGenerator

    document = SchemaGenerator().get_schema(request=None, public=True)
    lines = [
        "# Endpoints",
        "",
        "The same in detail, with shapes and a console: [/api/docs/](/api/docs/) and [/api/redoc/](/api/redoc/) of a",
        "running server. Errors: [errors](../errors.md).",
        "",
    ]
    for tag in document["tags"]:
        lines += [f"## {tag['name'].capitalize()}", "", tag["description"], "", "| | | |", "|---|---|---|"]
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                if operation["tags"] == [tag["name"]]:
                    answers = ", ".join(status for status in operation["responses"] if status < "400")
                    lines.append(f"| `{method.upper()} {path}` | {operation['summary']} | {answers} |")
        lines.append("")
    return "\n".join(lines)


def frames() -> str:
    """Every frame and every event with its fields, from the structs that check and write them."""
    from chat.protocol import asyncapi

    document = asyncapi.document()
    schemas = document["components"]["schemas"]
    lines = [
        "# Frames and events",
        "",
        "What goes over the socket, made from the classes that check and write it. How a client uses it:",
        "[the socket](../socket.md). For machines: [/api/asyncapi.json](/api/asyncapi.json).",
        "",
    ]
    groups = (
        ("From the client", "client_"),
        ("From the server", "server_"),
    )
    for title, prefix in groups:
        lines += [f"## {title}", ""]
        for name, message in document["components"]["messages"].items():
            if name.startswith(prefix):
                shape = message["payload"]["$ref"].rpartition("/")[2]
                lines += _shape(f"`{name.removeprefix(prefix)}`", schemas[shape])
    from chat.protocol import events

    lines += ["## Events", "", "The `data` of an event, by its `kind`.", ""]
    for shape in events.EVENTS:
        lines += _shape(
            f"`{getattr(shape, 'KIND', None) or shape.__struct_config__.tag or shape.__name__}`",
            schemas[shape.__name__],
        )
    return "\n".join(lines)


def _shape(title: str, schema: dict[str, Any]) -> list[str]:
    lines = [f"### {title}", ""]
    if schema.get("description"):
        lines += [_escaped(schema["description"]), ""]
    properties = {name: value for name, value in schema.get("properties", {}).items() if name != "type"}
    if properties:
        lines += ["| key | | what |", "|---|---|---|"]
        required = set(schema.get("required", ()))
        for name, value in properties.items():
            kind = _kind(value) + ("" if name in required else ", optional")
            lines.append(f"| `{name}` | {kind} | {_escaped(value.get('description', ''))} |")
        lines.append("")
    return lines


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(_kind(one) for one in schema[several]))
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(_kind({**schema, "type": one}) if one != "null" else "null" for one in kind)
    return str(schema.get("format", kind))


def close_codes() -> str:
    """Every close code of the socket."""
    from chat.protocol.close_codes import Close

    lines = [
        "# Close codes",
        "",
        (inspect.getdoc(Close) or "").partition("\n")[0],
        "",
        "| code | name | the client |",
        "|---|---|---|",
    ]
    for close in Close:
        what = "reconnects" if close < 4500 else "does not reconnect"
        lines.append(f"| `{close.value}` | `{close.code}` | {what} |")
    return "\n".join([*lines, "", "What each means and what to do: [the socket](../socket.md).", ""])


def commands() -> str:
    """Every management command of ours with its options."""
    from django.core.management import get_commands, load_command_class

    lines = ["# Commands", "", "`.venv/bin/python manage.py NAME`, in the folder of the product.", ""]
    for name, app in sorted(get_commands().items()):
        if app not in COMMANDS_OF:
            continue
        command = load_command_class(app, name)
        parser = argparse.ArgumentParser(prog=f"manage.py {name}", add_help=False)
        command.add_arguments(parser)
        lines += [f"## {name}", "", _escaped(str(command.help).strip()), ""]
        if parser._actions:
            lines += ["| | |", "|---|---|"]
            for action in parser._actions:
                shown = " ".join(action.option_strings) or str(action.metavar or action.dest)
                lines.append(f"| `{shown}` | {_escaped(str(action.help or ''))} |")
            lines.append("")
    return "\n".join(lines)


def decisions() -> str:
    """The list of decisions, by their titles."""
    lines = ["# Decisions", "", "Why it is built this way, one page for each choice that somebody may question.", ""]
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")


REFERENCE: dict[str, Callable[[], str]] = {
    "reference/settings.md": settings,
    "reference/endpoints.md": endpoints,
    "reference/frames.md": frames,
    "reference/close-codes.md": close_codes,
    "reference/commands.md": commands,
}
