//! Shards: their protocol against an adversary, the driver in virtual time, and the documents in Google's emulator.

mod adversary;
mod database;
mod driver;
mod emulator;
mod instance;
mod memory;
mod protocol;
mod world;
