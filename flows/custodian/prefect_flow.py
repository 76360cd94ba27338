"""The custodian's flow as Prefect deploys it. Zone: custodian.

The prose itself imports no Prefect: the same night runs from the command line where no orchestrator is.
"""

from prefect import flow

from flows.custodian import encode_and_deliver as prose
from tasks.protocol.run_names import name_of_run

encode_and_deliver = flow(
    name="encode-and-deliver", flow_run_name=name_of_run, persist_result=False, log_prints=False
)(prose.encode_and_deliver)
