"""The search space: domains, conditions, constraints."""
