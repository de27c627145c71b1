//! The Lightning port on an embedded ldk-node.
