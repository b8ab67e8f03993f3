#!/bin/sh
# Take out of a venv what a server never reads: tests, sources of extensions, languages that Alviar does not speak.
set -eu
site=$(echo "$1"/lib/python3*/site-packages)
find "$site" -depth -type d \( -name tests -o -name test \) -not -path "$site/django/*" -exec rm -rf {} +
find "$site" -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.po' \) -delete
find "$site/babel/locale-data" -type f -not -name 'root.dat' -not -name 'en*.dat' -not -name 'fr*.dat' -not -name 'ar*.dat' -delete
find "$site/django" "$site/rest_framework" "$site/django_tasks_db" -type d -path '*/locale/*' -prune \
    -not -path '*/locale/en*' -not -path '*/locale/fr*' -not -path '*/locale/ar*' -exec rm -rf {} +
if command -v strip >/dev/null 2>&1; then
    find "$site" -name '*.so' -exec strip --strip-unneeded {} + 2>/dev/null || true
fi
