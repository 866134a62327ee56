//! What the tests and benchmarks share: synthetic models, the reference peer.
