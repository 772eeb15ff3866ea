//! HTTP as data.
