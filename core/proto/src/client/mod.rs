//! The client machines.
