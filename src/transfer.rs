//! The transfer port on iroh.
