//! `logbarn serve` as a user runs it: the built binary, real sockets, real files, real signals.

mod first_steps;
mod front_door;
mod kill;
mod query;
mod stop;
mod support;
