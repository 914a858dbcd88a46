"""The library beside its peers, in one run, as ratios: `python -m benchmarks`. See `benchmarks/README.md`."""
