# syntax=docker/dockerfile:1
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY requirements.txt .
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --create-home llm-proxy \
 && install --directory --owner=llm-proxy --mode=0700 /data
WORKDIR /app
COPY --from=build /venv /venv
COPY manage.py ./
COPY static static
COPY audit audit
COPY llm_proxy_site llm_proxy_site
COPY projects projects
COPY proxy proxy
COPY tokens tokens
COPY usage usage
ENV DATA_DIR=/data PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER llm-proxy
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/live', timeout=2)"]
CMD ["sh", "-c", "python manage.py setup && exec python manage.py serve --bind 0.0.0.0:8000"]
