//! Hostile and careless clients beside well-behaved ones, on one server: what the server owes the latter, and what it must
//! not keep of the former.

pub mod hostile;
pub mod polite;
pub mod process;
