"""The linkage unit's flow as Prefect deploys it. Zone: linkage_unit."""

from prefect import flow

from flows.linkage_unit import link_and_load as prose
from tasks.protocol.run_names import name_of_run

link_and_load = flow(name="link-and-load", flow_run_name=name_of_run, persist_result=False, log_prints=False)(
    prose.link_and_load
)
