"""Benchmarks: API calls, time and CPU per record, each beside the naive way in the same run."""
