//! `logbarn serve` as a user runs it: the built binary, real sockets, real files, real signals.

mod care;
mod first_steps;
mod front_door;
mod full;
mod kill;
mod query;
mod shared_bucket;
mod stop;
mod support;
