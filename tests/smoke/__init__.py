"""A smoke test on a real AWS account: ``make smoke-aws``.

``__main__`` asks and goes through the steps; `steps` are the steps; `session` is what the steps share; `recording`
keeps AWS's replies without what tells whose account it was; `remains` finds what a destroyed stack left; `triple` is
the script that runs.
"""
