# Three stages: the packages are installed with their hashes into a venv of the image, the documentation site is built, the
# last stage takes the venv, the code and the site, and runs as nobody in particular. `docker build -t alviar .`;
# compose.yaml starts it with all it needs. EXTRAS="media s3 telemetry nats": video and sound are decoded, the object store
# of STORAGE_URL, traces and error reports, WAKES_URL=nats://….
ARG BASE=docker.io/library/python:3.11-slim-bookworm
ARG EXTRAS=""

FROM ${BASE} AS build
ARG EXTRAS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python3 -m venv /venv
COPY requirements.lock deploy/pick.py deploy/slim.sh /tmp/
RUN /venv/bin/python /tmp/pick.py /tmp/requirements.lock ${EXTRAS} >/tmp/picked.lock \
    && /venv/bin/python -m pip install --require-hashes --no-compile -r /tmp/picked.lock \
    && /venv/bin/python -m pip uninstall --yes pip setuptools
RUN (apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils) >/dev/null 2>&1 \
    || echo "no binutils: the libraries keep their symbols"; sh /tmp/slim.sh /venv

FROM build AS site
COPY requirements-docs.lock /tmp/
RUN python3 -m venv /docs && /docs/bin/python -m pip install --require-hashes --no-compile -r /tmp/requirements-docs.lock
WORKDIR /src
COPY . .
RUN PYTHONPATH=$(echo /venv/lib/python3*/site-packages) NO_MKDOCS_2_WARNING=1 DATABASE_URL=sqlite:///:memory: \
    /docs/bin/python -m mkdocs build --quiet --site-dir /site

FROM ${BASE}
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    ALVIAR_MODE=production HOST=0.0.0.0 PORT=8000 MEDIA_ROOT=/data/media STATIC_ROOT=/data/static
RUN useradd --system --uid 10001 --user-group --home-dir /app --shell /usr/sbin/nologin alviar \
    && install -d -o alviar -g alviar /app/var /data /data/media /data/static
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py ./
COPY common common
COPY sessions sessions
COPY users users
COPY chat chat
COPY config config
COPY --from=site /site site
COPY deploy/entrypoint.sh /entrypoint.sh
USER alviar
VOLUME ["/app/var", "/data"]
EXPOSE 8000
# More than DRAIN_SECONDS lies between SIGTERM and SIGKILL only where the operator says so: docker stop -t 30.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/healthz\", timeout=4)"]
ENTRYPOINT ["/bin/sh", "/entrypoint.sh"]
CMD ["python", "-m", "config.server", "serve"]
