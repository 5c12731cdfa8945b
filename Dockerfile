# Two images of one file: `cpu`, which is the default, and `cuda` for NVIDIA's GPUs. Both run as uid 10001, want nothing
# but /data, /keys and /tmp to be writable, and have our own small weights inside: mount larger ones at /models, your
# whosthere.yaml at /config. /data and /keys are two volumes, so that a copy of the one has no key in it.
#   docker build -t whosthere:cpu .
#   docker build -t whosthere:cuda --target cuda .
# docs/containers.md has all of it, with a broker, dashboards and Triton beside it: docker-compose.yml.

# The CUDA of the base has to be that of the onnxruntime-gpu wheel (13 since 1.31); FAISS brings its own.
ARG PYTHON_IMAGE=docker.io/library/python:3.12.12-slim-bookworm
ARG CUDA_IMAGE=docker.io/nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

FROM ${PYTHON_IMAGE} AS wheel
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${PYTHON_IMAGE} AS build-cpu
COPY --from=wheel /wheels /wheels
COPY scripts/slim-environment.sh /slim-environment.sh
RUN python -m venv /opt/whosthere \
    && /opt/whosthere/bin/pip install --no-cache-dir "$(echo /wheels/whosthere-*.whl)[cpu,webrtc,triton]" \
    && sh /slim-environment.sh /opt/whosthere

FROM ${CUDA_IMAGE} AS build-cuda
COPY --from=wheel /wheels /wheels
COPY scripts/slim-environment.sh /slim-environment.sh
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && python3 -m venv /opt/whosthere \
    && /opt/whosthere/bin/pip install --no-cache-dir "$(echo /wheels/whosthere-*.whl)[gpu,webrtc,triton]" \
    && sh /slim-environment.sh /opt/whosthere

FROM ${CUDA_IMAGE} AS cuda
LABEL org.opencontainers.image.title="whosthere" \
    org.opencontainers.image.description="Watches cameras and says who is there; for NVIDIA's GPUs" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 whosthere \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin whosthere \
    && install --directory --owner=10001 --group=10001 /data /models /config /certs \
    && install --directory --mode=0700 --owner=10001 --group=10001 /keys
COPY --from=build-cuda /opt/whosthere /opt/whosthere
ENV PATH=/opt/whosthere/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    WHOSTHERE_PATHS__DATA=/data \
    WHOSTHERE_PATHS__KEYS=/keys \
    WHOSTHERE_PATHS__MODELS='["/models"]'
USER 10001:10001
WORKDIR /config
VOLUME ["/data", "/keys"]
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s \
    CMD ["python", "-m", "streamer.api.alive"]
ENTRYPOINT ["whosthere"]
CMD ["serve"]

# The last one is what a build without --target makes.
FROM ${PYTHON_IMAGE} AS cpu
LABEL org.opencontainers.image.title="whosthere" \
    org.opencontainers.image.description="Watches cameras and says who is there" \
    org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 whosthere \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin whosthere \
    && install --directory --owner=10001 --group=10001 /data /models /config /certs \
    && install --directory --mode=0700 --owner=10001 --group=10001 /keys
COPY --from=build-cpu /opt/whosthere /opt/whosthere
ENV PATH=/opt/whosthere/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    WHOSTHERE_PATHS__DATA=/data \
    WHOSTHERE_PATHS__KEYS=/keys \
    WHOSTHERE_PATHS__MODELS='["/models"]'
USER 10001:10001
WORKDIR /config
VOLUME ["/data", "/keys"]
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
    CMD ["python", "-m", "streamer.api.alive"]
ENTRYPOINT ["whosthere"]
CMD ["serve"]
