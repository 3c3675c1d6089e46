"""The stages of a release, one file each: `inputs`, `options` and `run(context, plan) -> plan`.

A stage never modifies its inputs; its work is temporary; an output appears by one rename. No stage imports another:
what one leaves, the next finds in the plan.
"""
