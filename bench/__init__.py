"""Benches: figures as ratios to a reference of the same run. Each is `python -m bench.NAME [--quick]`."""
