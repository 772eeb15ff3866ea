//! Authorization flows against a scripted authorization server: the scenarios of the official suite, and
//! hostile ones.

mod challenge;
mod hostile;
mod machine;
mod scenarios;
mod world;
