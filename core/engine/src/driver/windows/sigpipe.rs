//! An empty module: Windows has no signal for a pipe without a reader.

pub(crate) fn block_in_thread() {}
