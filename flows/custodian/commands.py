"""`nightlink custodian`: what a custodian runs by hand or from its own scheduler, in order. Zone: custodian."""

from __future__ import annotations

import typer

from flows.custodian import edge_commands, key_commands, night_commands, trial_commands

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)

app.command()(night_commands.deliver)
app.command()(edge_commands.encode)
app.command()(edge_commands.tokens)
app.command("transfer-tokens")(edge_commands.transfer_tokens)
app.command("validate")(edge_commands.validate_)
app.command()(edge_commands.describe)
app.command()(key_commands.keygen)
app.command()(night_commands.receipts)
app.command("carry-epoch")(night_commands.carry_epoch)
app.command("retire-deliveries")(night_commands.retire_deliveries)
app.command("erase")(night_commands.erase)
app.command("prove-row")(night_commands.prove_row)
app.command("expire-deliveries")(night_commands.expire_deliveries)
app.command("verify-key")(key_commands.verify_key)
app.command("key-check", hidden=True)(key_commands.key_check)
app.command()(trial_commands.generate)
app.command("convert-schema")(trial_commands.convert_schema)
