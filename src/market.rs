//! What a job is and what may happen next. Pure.
