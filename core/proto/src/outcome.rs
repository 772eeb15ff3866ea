//! What a handler says.
