"""Tests of one module each, nothing running beside them."""
