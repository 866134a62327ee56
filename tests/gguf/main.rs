//! The GGUF reader and writer through their public interface.

mod alloc;
mod malformed;
mod raw;
mod round_trip;
mod split;
