# Only our own small weights are inside: mount larger ones at /models, your whosthere.yaml at /config, and keep /data
# and /keys, which the gallery in /data is encrypted under: two volumes, so that a copy of the one has no key in it.
#   docker build -t whosthere .
#   docker run --name whosthere -v ./config:/config:ro -v ./models:/models:ro -v whosthere-data:/data \
#     -v whosthere-keys:/keys whosthere
#   docker exec whosthere whosthere tokens make me --role admin
# HTTP is for the container alone (127.0.0.1) until it has a certificate or a proxy: docs/http.md, "In a container".

FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /opt/whosthere
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
    && /opt/whosthere/bin/pip install --no-cache-dir "$(echo /wheels/whosthere-*.whl)[cpu,webrtc]"

FROM python:3.12-slim
COPY --from=build /opt/whosthere /opt/whosthere
RUN useradd --system --uid 10001 --no-create-home whosthere \
    && install --directory --owner=whosthere --group=whosthere /data /models /config \
    && install --directory --mode=0700 --owner=whosthere --group=whosthere /keys
ENV PATH=/opt/whosthere/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    WHOSTHERE_PATHS__DATA=/data \
    WHOSTHERE_PATHS__KEYS=/keys \
    WHOSTHERE_PATHS__MODELS='["/models"]'
USER whosthere
WORKDIR /config
VOLUME /data /keys
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-m", "streamer.api.alive"]
ENTRYPOINT ["whosthere"]
CMD ["serve"]
