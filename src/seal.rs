//! Sealed deliverables and fraud proofs. Pure.
