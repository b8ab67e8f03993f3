#!/usr/bin/env bash
# Build the image without a container service and start it once: buildah with chroot isolation, as root. Where no registry
# of images is reached, the base is made by debootstrap from the package mirror of this machine.
#   deploy/build-image.sh [TAG]      needs buildah and debootstrap
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tag=${1:-alviar:trial}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah() { command buildah --root "${IMAGES:-$work/images}" --runroot "$work/run" "$@"; }

base=docker.io/library/python:3.11-slim-bookworm
certificates=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
if ! buildah pull --quiet "$base" >/dev/null 2>&1; then
    base=localhost/base
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1)
    mirror=${mirror:-$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null)}
    echo "--- no image registry: a base from ${mirror:?no mirror found}"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" "$mirror" >/dev/null
    made=$(buildah from scratch)
    buildah add --quiet "$made" "$work/base" / >/dev/null
    buildah commit --quiet --rm "$made" "$base" >/dev/null
    rm -rf "$work/base"
fi

# What pip needs to know of this machine's way to packages goes in as build secrets would: it stays in no layer.
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_CERT HTTPS_PROXY HTTP_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || passed+=(--env "$name")
done
[ ! -f /etc/pip.conf ] || certificates+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
buildah bud --quiet --format docker --pull-never "${certificates[@]}" --build-arg "BASE=$base" --tag "$tag" . >/dev/null
running=$(buildah from --pull-never "$tag")
root=$(buildah mount "$running")
size=$(du -sm "$root/venv" "$root/app" | awk '{ sum += $1 } END { print sum }')
echo "--- $tag: $size MB above its base"
[ "$size" -lt "${MOST_MB:-250}" ] || { echo "that is too much" >&2; exit 1; }
[ "$(buildah inspect --format '{{.OCIv1.Config.User}}' "$running")" = alviar ] || { echo "it runs as root" >&2; exit 1; }
! grep -rqs . "$root/app/.env" || { echo "it holds a .env" >&2; exit 1; }
buildah run --isolation chroot "$running" -- python -c 'import sys; sys.exit(__import__("os").getuid() == 0)'
echo "--- it starts, on a SQLite of its own, and is healthy"
buildah run --isolation chroot --env WORKERS=1 --env DATABASE_URL=sqlite:////data/trial.sqlite3 --env ALLOWED_HOSTS=localhost \
    --env PUBLIC_URL=https://localhost --env HOST=127.0.0.1 --env PORT=18431 --env MAIL_DIR=/data/mail "$running" -- sh -c '
    sh /entrypoint.sh python -m config.server serve & parent=$!
    for n in $(seq 120); do
        python -c "import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:18431/readyz\", timeout=4).read().decode())" 2>/dev/null && break
        sleep 0.5
    done
    kill $parent; wait $parent'
