"""`nightlink evaluate`: the whole linkage on a folder of people whose truth is known, in one process.

It alone may do so: it plays both custodians and the linkage unit, and knows the truth.
"""
