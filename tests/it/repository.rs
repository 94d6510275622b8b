//! The repository keeps its promises: generated files are fresh, pure rooms are pure.
