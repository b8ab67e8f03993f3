#!/bin/sh
# Start the command with a key: the one of the settings, or one made once and kept in the volume /app/var.
set -eu
if [ -z "${SECRET_KEY:-}${SECRET_KEY_FILE:-}" ]; then
    key=/app/var/secret_key
    if [ ! -s "$key" ]; then
        umask 077
        python -c 'import secrets; print(secrets.token_urlsafe(48))' >"$key.$$"
        ln "$key.$$" "$key" 2>/dev/null || true # another container of this volume may have been faster
        rm -f "$key.$$"
    fi
    export SECRET_KEY_FILE="$key"
fi
exec "$@"
