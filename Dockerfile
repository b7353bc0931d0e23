# Two images: the server (default) and, with --target local, Nova Sonic Local with voices and speech recognition.
# Both run as user 10001, need no writable root file system and stop on SIGTERM.
# The server listens on every address of its container, so it wants AUTH: docs/how-to/authenticate.md.
ARG BASE_IMAGE=python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS packages
WORKDIR /build
COPY requirements.txt requirements-webm.txt ./
# --build-arg WEBM=yes: for clients that send the recordings of browsers.
ARG WEBM=
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement requirements.txt ${WEBM:+--requirement requirements-webm.txt}

FROM ${BASE_IMAGE} AS packages-local
WORKDIR /build
COPY requirements.txt requirements-local.txt ./
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --constraint requirements.txt --requirement requirements-local.txt

# espeak-ng and flite are programs that the emulator runs; their licences (GPL-3.0-or-later, CMU) stay with this image.
FROM ${BASE_IMAGE} AS local
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends espeak-ng flite && rm -rf /var/lib/apt/lists/* \
    && install -d -o 10001 -g 10001 /ca
COPY --from=packages-local /opt/venv /opt/venv
WORKDIR /app
COPY nova_sonic_local/ nova_sonic_local/
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
USER 10001:10001
EXPOSE 8443
ENTRYPOINT ["python", "-m", "nova_sonic_local", "--host", "0.0.0.0", "--port", "8443", "--ca-dir", "/ca", "--brain", "demo", "--voice", "auto"]

FROM ${BASE_IMAGE} AS server
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY server.py bootstrap.py config.py endpoints.py lambda_changes.py local_emulator.py record_settings.py self_check.py setting_values.py ./
COPY s2s/ s2s/
COPY parts/ parts/
COPY session/ session/
COPY service/ service/
COPY tools/ tools/
COPY storage/ storage/
COPY publishing/ publishing/
COPY audio/ audio/
COPY cascade/ cascade/
COPY auth/ auth/
COPY observers/ observers/
COPY transports/ transports/
COPY api/ api/
COPY telemetry/ telemetry/
COPY assistants/ assistants/
COPY web/ web/
# For operators, who run them with the settings and the role of the server: docs/how-to/migrate-records.md.
COPY scripts/seed_data.py scripts/diagnose_tables.py scripts/migrate.py scripts/
COPY scripts/upkeep/ scripts/upkeep/
# Compiled here, because at run time the root file system may be read-only.
RUN /opt/venv/bin/python -m compileall -q .
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp \
    HOST=0.0.0.0 WS_PORT=8081 HEALTH_PORT=8080 LOG_FORMAT=json
USER 10001:10001
EXPOSE 8081 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['WS_PORT'] + '/health', timeout=4)"]
ENTRYPOINT ["python", "server.py"]
