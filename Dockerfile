# One image for the API and the worker: the same code, two commands. PostgreSQL, Redis and SQS run elsewhere, so the
# wheels of the embedded services are left out.

FROM node:24-slim AS web
WORKDIR /web
COPY web/package.json web/package-lock.json web/.npmrc ./
RUN npm ci
COPY schema.graphql /
COPY web/ ./
RUN npm run build

FROM python:3.11-slim AS packages
RUN python -m venv /venv
COPY requirements/base.lock /
RUN /venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r /base.lock

FROM python:3.11-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 LOREKEEPER_EMBEDDED=never
RUN useradd --system --uid 10001 --home-dir /app lorekeeper \
    # What is kept where no bucket is configured: a volume mounted here belongs to the user of the processes.
    && install --directory --owner=lorekeeper /app/.lorekeeper
WORKDIR /app
COPY --from=packages /venv /venv
COPY server.py ./
COPY migrations/ migrations/
COPY services/ services/
COPY cli/ cli/
COPY schema/ schema/
COPY worker/ worker/
COPY --from=web /web/dist/ web/dist/
USER 10001
EXPOSE 8000
# Not `uvicorn server:app`: that would take its address, the compression of WebSockets and the grace of a shutdown from
# its own command line, past the settings. In exec form, so that SIGTERM reaches the process, which handles it.
CMD ["python", "server.py", "--no-worker"]
