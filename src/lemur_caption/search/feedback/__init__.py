"""What a search asks for next, given what its candidates have come to."""

from .plan import Baseline, Finished, Plan, Policy, failed_in_training, score
from .policies import POLICIES, ArchivePolicy, EffectsPolicy, IndependentPolicy, get_policy

__all__ = [
    "POLICIES",
    "ArchivePolicy",
    "Baseline",
    "EffectsPolicy",
    "Finished",
    "IndependentPolicy",
    "Plan",
    "Policy",
    "failed_in_training",
    "get_policy",
    "score",
]
