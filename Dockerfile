# syntax=docker/dockerfile:1
# A release pins its base: --build-arg PYTHON_IMAGE=python:3.12-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=base

# In a line of its own, and not in the argument: Dependabot reads no other.
FROM python:3.12-slim-bookworm AS base

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY requirements.txt ./
COPY requirements-fast.txt ./
COPY requirements-traces.txt ./
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt -r requirements-traces.txt -r requirements-fast.txt
COPY manage.py ./
COPY static static
COPY audit audit
COPY llm_proxy_site llm_proxy_site
COPY projects projects
COPY proxy proxy
COPY tokens tokens
COPY usage usage
# Nothing but /data can be written later. Static files stay where they are: WhiteNoise serves them from there.
RUN python -m compileall -q .

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="LLM Proxy" \
      org.opencontainers.image.description="A self-hosted, transparent proxy for OpenAI's API with withering tokens" \
      org.opencontainers.image.licenses="MIT"
RUN install -d -o 10001 -g 10001 -m 0700 /data
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV DATA_DIR=/data PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, so that Kubernetes sees that it is not root.
USER 10001:10001
VOLUME /data
EXPOSE 8000
# Not by urllib, which would ask the HTTP proxy that the environment names.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s CMD ["python", "-c", "import sys, http.client; to = http.client.HTTPConnection('127.0.0.1:8000', timeout=4); to.request('GET', '/live'); sys.exit(to.getresponse().status != 200)"]
ENTRYPOINT ["python", "/app/manage.py"]
CMD ["serve", "--bind", "0.0.0.0:8000"]
