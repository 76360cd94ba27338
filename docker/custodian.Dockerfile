# The custodian's zone: a hospital or a pharmacy. It holds no code of the linkage unit, of the coordinator or of the
# evaluation. Build from the root of the checkout:
#   docker build -f docker/custodian.Dockerfile -t nightlink-custodian .
# Prefect is left out unless asked for (--build-arg WITH_PREFECT=yes): `nightlink custodian deliver` needs none.
FROM python:3.11-slim
ARG WITH_PREFECT=no
WORKDIR /opt/nightlink
COPY pyproject.toml requirements.txt ./
# requirements.txt is the lock; as a constraint it fixes every version without installing all of them.
RUN pip install --no-cache-dir "uv>=0.9,<1" \
    && if [ "$WITH_PREFECT" = yes ]; then extra="--extra night"; else extra=""; fi \
    && uv pip install --system --no-cache --compile-bytecode -c requirements.txt \
       -r pyproject.toml $extra great-expectations pandas
COPY linkage_core/__init__.py linkage_core/errors.py linkage_core/
COPY linkage_core/protocol/ linkage_core/protocol/
COPY linkage_core/audit/ linkage_core/audit/
COPY linkage_core/custodian/ linkage_core/custodian/
COPY sql/__init__.py sql/copy_rows.py sql/engine.py sql/statements.py sql/
COPY sql/custodian/ sql/custodian/
# The content loader compares the warehouse's schema with the files of it before it loads.
COPY sql/warehouse/ sql/warehouse/
COPY tasks/__init__.py tasks/
COPY tasks/protocol/ tasks/protocol/
COPY tasks/custodian/ tasks/custodian/
COPY flows/__init__.py flows/command_line.py flows/
COPY flows/protocol/ flows/protocol/
COPY flows/custodian/ flows/custodian/
COPY deployments/linkage_protocol.toml deployments/prefect.yaml deployments/
COPY docker/start_worker.sh docker/
ENV PYTHONPATH=/opt/nightlink PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GX_ANALYTICS_ENABLED=false \
    NUMBA_CACHE_DIR=/tmp/numba HOME=/tmp
# No entry in /etc/passwd is needed; the number is that of the party (docker/compose.yaml).
USER 61001
ENTRYPOINT ["python", "-m", "flows.command_line"]
CMD ["custodian", "deliver"]
