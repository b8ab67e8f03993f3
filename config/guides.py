"""The documentation site at `/docs/`, as `make docs` has built it into `DOCS_ROOT`."""

import base64
import functools
import hashlib
import re
from pathlib import Path

from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils._os import safe_join
from django.views import static

from common import csp
from common.errors import NotFound, respond
from config.documentation import read_only

NOT_BUILT = "The documentation has not been built: make docs. Its pages stand in the folder docs/ of the repository.\n"
_INLINE = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.S)


@read_only
def guides(request: HttpRequest, path: str = "") -> HttpResponseBase:
    """Serve one file of the site; a folder is its `index.html`."""
    root = Path(settings.DOCS_ROOT)
    if not (root / "index.html").is_file():
        return HttpResponse(NOT_BUILT, status=404, content_type="text/plain; charset=utf-8")
    try:
        file = Path(safe_join(str(root), path))
        if file.is_dir() and (file / "index.html").is_file():
            if path and not path.endswith("/"):
                return HttpResponseRedirect(request.path + "/")
            path, file = f"{path}index.html", file / "index.html"
        response = static.serve(request, path, document_root=str(root))
    except (Http404, SuspiciousFileOperation, ValueError, OSError):  # outside, a NUL, a name that is too long
        return respond(NotFound())
    response["Cache-Control"] = "no-cache"  # asked for again by its date, since a new build keeps most names
    if path.endswith(".html"):
        hashes = _inline_scripts(str(file), file.stat().st_mtime_ns)
        return csp.strict(response, script_src=" ".join(["'self'", *hashes]), style_src="'self' 'unsafe-inline'")
    return response


@functools.lru_cache(maxsize=1_000)
def _inline_scripts(file: str, changed_at: int) -> tuple[str, ...]:
    """Return the sources that a policy names the page's own inline scripts by, and no other's."""
    found = {hashlib.sha256(script).digest() for script in _INLINE.findall(Path(file).read_bytes()) if script.strip()}
    return tuple(sorted(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in found))
