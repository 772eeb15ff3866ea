//! Tasks over real stores: while their servers are killed (`chaos`), and the number per second
//! (`task_bench`). Servers among hostile clients (`soak`).

pub mod judge;
pub mod load;
pub mod random;
pub mod soak;
mod watch;
pub mod wire;
pub mod world;
