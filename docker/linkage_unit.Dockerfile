# The linkage unit's zone. It holds no code of a custodian: nothing here can normalise a name, derive a key or read a
# source. Build from the root of the checkout:
#   docker build -f docker/linkage_unit.Dockerfile -t nightlink-linkage-unit .
FROM python:3.11-slim
WORKDIR /opt/nightlink
COPY pyproject.toml requirements.txt ./
# requirements.txt is the lock; as a constraint it fixes every version without installing all of them.
RUN pip install --no-cache-dir "uv>=0.9,<1" \
    && uv pip install --system --no-cache --compile-bytecode -c requirements.txt -r pyproject.toml --extra night
COPY linkage_core/__init__.py linkage_core/errors.py linkage_core/
COPY linkage_core/protocol/ linkage_core/protocol/
COPY linkage_core/audit/ linkage_core/audit/
COPY linkage_core/linkage_unit/ linkage_core/linkage_unit/
COPY sql/__init__.py sql/copy_rows.py sql/engine.py sql/statements.py sql/
COPY sql/warehouse/ sql/warehouse/
COPY tasks/__init__.py tasks/
COPY tasks/protocol/ tasks/protocol/
COPY tasks/linkage_unit/ tasks/linkage_unit/
COPY flows/__init__.py flows/command_line.py flows/
COPY flows/protocol/ flows/protocol/
COPY flows/linkage_unit/ flows/linkage_unit/
COPY deployments/linkage_protocol.toml deployments/prefect.yaml deployments/
COPY docker/start_worker.sh docker/
ENV PYTHONPATH=/opt/nightlink PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GX_ANALYTICS_ENABLED=false \
    NUMBA_CACHE_DIR=/tmp/numba HOME=/tmp
USER 61003
ENTRYPOINT ["python", "-m", "flows.command_line"]
CMD ["linkage-unit", "link"]
