"""Print the part of requirements.lock that an image needs: `pick.py LOCK [media] [s3] [telemetry]`.

Everything is in the one lock. What only an unnamed extra asks for (`# via -r requirements-<extra>.txt`), directly or
through others, is left out. Needs nothing but Python.
"""

import re
import sys

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==")
EXTRA = re.compile(r"-r requirements-([a-z0-9]+)\.txt")


def packages(lock: str) -> dict[str, tuple[str, set[str]]]:
    """Return name -> (its lines, who asks for it: names of packages and `-r` files)."""
    found: dict[str, tuple[str, set[str]]] = {}
    name = ""
    for line in lock.splitlines(keepends=True):
        if pin := PIN.match(line):
            name = pin[1].lower()
            found[name] = ("", set())
        if name:
            text, via = found[name]
            if line.lstrip().startswith("#"):
                via.add(line.strip().removeprefix("#").strip().removeprefix("via").strip())
            found[name] = (text + line, via - {""})
    return found


def pick(lock: str, extras: set[str]) -> str:
    """Return the lock without what only other extras ask for. Raises ValueError for an extra that is none."""
    known = packages(lock)
    asked = {via for _, everybody in known.values() for via in everybody}
    if unknown := extras - {extra[1] for via in asked if (extra := EXTRA.fullmatch(via))}:
        raise ValueError(f"no such extra: {', '.join(sorted(unknown))}")

    def is_wanted(via: str) -> bool:
        extra = EXTRA.fullmatch(via)
        return via in wanted if extra is None and not via.startswith("-r ") else extra is None or extra[1] in extras

    wanted: set[str] = set()
    while more := {name for name, (_, everybody) in known.items() if any(map(is_wanted, everybody))} - wanted:
        wanted |= more
    return "".join(text for name, (text, _) in known.items() if name in wanted)


if __name__ == "__main__":
    try:
        with open(sys.argv[1]) as file:
            sys.stdout.write(pick(file.read(), set(sys.argv[2:])))
    except ValueError as error:
        sys.exit(str(error))
