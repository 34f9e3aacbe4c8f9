//! Many connections at once. Any error of a statement fails the test, so a deadlock (40P01) does.

mod by_hand;
mod drain;
mod fence;
mod identity;
mod keys;
mod replace;
mod rescue;
mod retention;
mod storm;
