//! The server machines.
