"""Tests of the environments of repositories."""
