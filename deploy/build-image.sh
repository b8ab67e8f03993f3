#!/usr/bin/env bash
# Build the image without a container service, start it and sign in: buildah with chroot isolation, as root. Where no
# registry of images is reached, the base is made by debootstrap from the package mirror of this machine.
#   EXTRAS="media s3 telemetry nats" deploy/build-image.sh [TAG]     needs buildah, debootstrap, curl
# IMAGES: a folder that keeps images (and the base) from one run to the next. MOST_MB: what it may weigh, all layers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tag=${1:-alviar:trial}
work=$(mktemp -d)
buildah() { command buildah --root "${IMAGES:-$work/images}" --runroot "$work/run" "$@"; }
running=
cleanup() {
    [ -z "$running" ] || buildah rm "$running" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap cleanup EXIT
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot

base=docker.io/library/python:3.11-slim-bookworm
certificates=(--volume /etc/ssl/certs:/etc/ssl/certs:ro)
if ! timeout 60 buildah pull --quiet "$base" >/dev/null 2>&1; then
    base=localhost/alviar-base
    if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
        mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1)
        mirror=${mirror:-$(awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /^http/) { print $i; exit } }' \
            /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null)}
        echo "--- no image registry: a base from ${mirror:?no mirror found}"
        debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/base" "$mirror" \
            >"$work/debootstrap.log" 2>&1 || { tail -20 "$work/debootstrap.log" >&2; exit 75; } # EX_TEMPFAIL: not the image's fault
        # What the images of a registry leave out as well.
        rm -rf "$work/base"/var/cache/apt/*.bin "$work/base"/var/cache/apt/archives/*.deb \
            "$work/base"/var/lib/apt/lists/*_* "$work/base"/var/log/*.log \
            "$work/base"/usr/share/{doc,man,info,locale,lintian}/*
        find "$work/base" -name __pycache__ -prune -exec rm -rf {} +
        made=$(buildah from scratch)
        buildah add --quiet "$made" "$work/base" / >/dev/null
        buildah commit --quiet --rm "$made" "$base" >/dev/null
        rm -rf "$work/base"
    fi
fi

# What pip needs to know of this machine's way to packages goes in as build secrets would: it stays in no layer.
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_CERT PIP_DEFAULT_TIMEOUT HTTPS_PROXY HTTP_PROXY NO_PROXY; do
    [ -z "${!name:-}" ] || certificates+=(--env "$name")
done
[ ! -f /etc/pip.conf ] || certificates+=(--volume /etc/pip.conf:/etc/pip.conf:ro)
buildah bud --quiet --format docker --pull-never "${certificates[@]}" --build-arg "BASE=$base" \
    --build-arg "EXTRAS=${EXTRAS:-}" --tag "$tag" . >/dev/null

running=$(buildah from --pull-never "$tag")
root=$(buildah mount "$running")
size=$(du -sm --apparent-size "$root" | cut -f1)
echo "--- $tag: $size MB, $(du -sm --apparent-size "$root/venv" | cut -f1) of them packages"
# docker images counts by 1,000,000.
[ $((size * 1048576 / 1000000)) -lt "${MOST_MB:-250}" ] || { echo "that is too much" >&2; exit 1; }
[ "$(buildah inspect --format '{{.OCIv1.Config.User}}' "$running")" = alviar ] || { echo "it runs as root" >&2; exit 1; }
[ ! -e "$root/app/.env" ] || { echo "it holds a .env" >&2; exit 1; }
mapfile -d '' -t check < <(buildah inspect "$running" | python3 -c '
import json, sys
check = json.load(sys.stdin)["Docker"]["config"].get("Healthcheck") or {"Test": [""]}
sys.stdout.write("".join(f"{word}\0" for word in check["Test"]))')
[ "${check[0]}" = CMD ] || { echo "it has no health check" >&2; exit 1; }

echo "--- it starts, on a SQLite of its own"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -m 777 "$work/hand"
inside() {
    buildah run --isolation chroot --volume "$work/hand:/hand" --env WORKERS=1 --env DATABASE_URL=sqlite:////hand/db.sqlite3 \
        --env ALLOWED_HOSTS=localhost --env PUBLIC_URL=https://localhost --env TRUSTED_PROXY_COUNT=1 --env HOST=127.0.0.1 \
        --env PORT="$port" --env MAIL_DIR=/hand/mail --env DRAIN_SECONDS=2 "$running" -- "$@"
}
inside sh -c '
    sh /entrypoint.sh python -m config.server serve & parent=$!
    while [ ! -e /hand/stop ] && kill -0 $parent 2>/dev/null; do sleep 0.2; done
    kill $parent 2>/dev/null; wait $parent' >"$work/log" 2>&1 &
server=$!
ask() { curl --silent --show-error --fail-with-body --max-time 20 --header 'X-Forwarded-Proto: https' --header 'Host: localhost' "$@"; }
failed() { echo "$1" >&2; cat "$work/log" >&2; touch "$work/hand/stop"; wait $server || true; exit 1; }
for _ in $(seq 240); do
    ask --output /dev/null "http://127.0.0.1:$port/readyz" 2>/dev/null && break
    kill -0 $server 2>/dev/null || failed "it ended"
    sleep 0.5
done
echo "    $(ask "http://127.0.0.1:$port/readyz")" || failed "it is not ready"
[ "$(stat --format %u "$work/hand/db.sqlite3")" = 10001 ] || failed "it does not run as alviar (10001)"

echo "--- its health check passes"
inside "${check[@]:1}" || failed "its health check fails"

echo "--- somebody registers and signs in"
person='{"username": "alice", "email": "alice@example.com", "password": "pick-7-tall-reeds", "password_confirm": "pick-7-tall-reeds"}'
for call in register login; do
    ask --header 'Content-Type: application/json' --data "$person" --output "$work/$call" \
        "http://127.0.0.1:$port/api/auth/$call/" || failed "no $call: $(cat "$work/$call")"
done
token=$(sed -n 's/.*"access": *"\([^"]*\)".*/\1/p' "$work/login")
ask --header "Authorization: Bearer $token" "http://127.0.0.1:$port/api/users/me/" | grep --quiet '"username": *"alice"' \
    || failed "the token opens nothing"

echo "--- it shows its documentation"
ask --output "$work/docs" "http://127.0.0.1:$port/docs/" && grep --quiet 'Your first app' "$work/docs" || failed "no documentation"

echo "--- it stops when asked"
touch "$work/hand/stop"
wait $server || failed "it ended with an error"
! grep --ignore-case --quiet traceback "$work/log" || failed "it has logged a traceback"
echo "--- the image builds, starts, signs in and stops"
