//! Load generator and floor server of the benchmarks.
