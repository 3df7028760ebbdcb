//! Shards: their protocol against an adversary.

mod protocol;
mod world;
