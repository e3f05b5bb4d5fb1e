# Serves a model, or trains (docs/installing.md):
#   docker build -t ldl_jax .                                 with JAX for CPUs
#   docker build -t ldl_jax:cuda --build-arg JAX=cuda12 .     with JAX for NVIDIA GPUs, or cuda13
#   docker run -p 8080:8080 -v "$PWD/model.safetensors:/model:ro" ldl_jax
#   docker run -v "$PWD/runs:/srv/ldl/runs" --user "$(id -u)" ldl_jax ldl-train --config=quickstart
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /source
COPY . .
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM ${BASE}
ARG JAX=cpu
ARG EXTRAS=align,export,figures,formats,hub,serve,stream,tensorboard,tfds,video
ENV PATH=/opt/ldl_jax/bin:$PATH PYTHONUNBUFFERED=1 HOME=/srv/ldl
# CUDA's libraries come with JAX's own wheels, so the base has none.
COPY --from=build /wheels /wheels
RUN python3 -m venv /opt/ldl_jax \
    && pip install --no-cache-dir "$(echo /wheels/*.whl)[${JAX},${EXTRAS}]"
# Any user may run it: --user="$(id -u)" owns what it writes into a folder of yours.
RUN useradd --uid 1000 --home-dir /srv/ldl ldl && mkdir -p /srv/ldl/runs && chmod -R a+rwX /srv/ldl
USER 1000
WORKDIR /srv/ldl
EXPOSE 8080
# Only a server is asked; a training has no health but its own end.
HEALTHCHECK --interval=30s --timeout=5s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import pathlib, urllib.request; b'ldl-serve' in pathlib.Path('/proc/1/cmdline').read_bytes() and urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["ldl-serve", "/model", "--host=0.0.0.0", "--port=8080"]
