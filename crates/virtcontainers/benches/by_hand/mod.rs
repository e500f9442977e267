//! A sandbox's processes started by hand: what the library started is looked at ([`marked`]), written down ([`Recipe`]),
//! and started anew without it ([`Machine`]).

mod machine;
pub(crate) mod process;
mod recipe;

pub(crate) use machine::{Machine, Wires};
pub(crate) use process::{Process, marked};
pub(crate) use recipe::Recipe;
