//! Tests of specifications on clocks that are changed, and of schedules in a simulated world.

mod sim;
mod specs;
mod world;
mod zones;
