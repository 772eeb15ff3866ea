//! Hostile and careless clients beside well-behaved ones on one server: correct service for the latter, and
//! no state left of the former.

pub mod hostile;
pub mod polite;
pub mod process;
