#!/bin/sh
# Take out of a venv what a server never reads: tests, sources of extensions, languages that Alviar does not speak, maps
# for browsers' debuggers, a compiler, symbols of libraries.
set -eu
site=$(echo "$1"/lib/python3*/site-packages)
find "$site" -depth -type d \( -name tests -o -name test \) -not -path "$site/django/*" -exec rm -rf {} +
find "$site" -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.po' \) -delete
find "$site/babel/locale-data" -type f -not -name 'root.dat' -not -name 'en*.dat' -not -name 'fr*.dat' -not -name 'ar*.dat' -delete
find "$site/django" "$site/rest_framework" "$site/django_tasks_db" -type d -path '*/locale/*' -prune \
    -not -path '*/locale/en*' -not -path '*/locale/fr*' -not -path '*/locale/ar*' -exec rm -rf {} +
# A script that names a map that is not there is refused by collectstatic.
find "$site" -path '*/static/*' -type f \( -name '*.js' -o -name '*.css' \) -exec \
    sed -i -e 's|//[#@] sourceMappingURL=[^ ]*$||' -e 's|/\*[#@] sourceMappingURL=[^ ]* *\*/||' {} +
find "$site" -path '*/static/*' -type f -name '*.map' -delete
find "$site/autobahn/_flatc" -type f -size +1M -delete 2>/dev/null || true
# Not the libraries in *.libs, which were patched: strip breaks some of these.
if command -v strip >/dev/null 2>&1; then
    find "$site" -type f -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} + 2>/dev/null || true
fi
