//! What the jobs of a coordinator do in a simulated world.

mod sim;
mod world;
