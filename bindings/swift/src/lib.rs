//! The swift binding.
