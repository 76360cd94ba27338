"""What a night says of its own quality, without any truth: one module an estimator. Zone: linkage_unit.

Each estimator looks at the links that will be published as matches, and answers with a figure and its 95%
interval (:mod:`~linkage_core.linkage_unit.quality.estimate`). None knows the truth; each fails in its own way, which
its module states, so they are shown together.
"""
