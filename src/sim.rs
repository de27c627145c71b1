//! The same engine on fake ports, fake time and one seed.
