//! Tasks over real stores: while their servers are killed (`chaos`), and how many in a second (`task_bench`).

pub mod judge;
pub mod load;
pub mod random;
mod watch;
pub mod wire;
pub mod world;
