"""The attack suite: each measured fact as a live attack, first on a naive git, then on ours."""
