//! The promises that hold whatever tells workers what to claim. Test targets include this file, one for each backend.

mod blocked;
mod callbacks;
mod crash;
mod fencing;
mod handler;
mod hostile;
mod interruption;
mod network;
pub(crate) mod order;
mod pause;
mod poison;
mod prefetch;
mod restart;
mod schedule;
mod signals;
mod stop;
pub(crate) mod wakeups;
