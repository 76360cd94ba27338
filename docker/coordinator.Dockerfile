# The coordinator, and the Prefect server that it talks to. It holds no code of either side and no database client of
# ours: it knows dates and the names of deployments. Build from the root of the checkout:
#   docker build -f docker/coordinator.Dockerfile -t nightlink-coordinator .
FROM python:3.11-slim
WORKDIR /opt/nightlink
COPY pyproject.toml requirements.txt ./
# requirements.txt is the lock; as a constraint it fixes every version without installing all of them.
RUN pip install --no-cache-dir "uv>=0.9,<1" \
    && uv pip install --system --no-cache --compile-bytecode -c requirements.txt -r pyproject.toml --extra night
COPY linkage_core/__init__.py linkage_core/errors.py linkage_core/
COPY linkage_core/protocol/ linkage_core/protocol/
COPY tasks/__init__.py tasks/
COPY tasks/protocol/ tasks/protocol/
COPY tasks/coordinator/ tasks/coordinator/
COPY flows/__init__.py flows/command_line.py flows/
COPY flows/coordinator/ flows/coordinator/
COPY deployments/prefect.yaml deployments/
COPY docker/start_server.sh docker/start_worker.sh docker/
ENV PYTHONPATH=/opt/nightlink PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
USER 61004
ENTRYPOINT ["sh"]
CMD ["docker/start_worker.sh", "coordinator", "nightly"]
