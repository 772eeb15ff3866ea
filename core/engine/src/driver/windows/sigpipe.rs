//! Nothing: Windows has no signal for a pipe that nobody reads.

pub(crate) fn block_in_thread() {}
