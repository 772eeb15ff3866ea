//! The c binding.
