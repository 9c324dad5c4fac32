"""Parts of the benchmarks of the policy server under load: servers, robots, a graph with a dynamic batch."""
