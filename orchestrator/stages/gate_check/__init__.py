"""The gate-check stage: from the received change to the verdict and the push."""
