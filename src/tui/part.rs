//! Parts that screens are made of. A part knows no screen.

pub(super) mod code;
pub(super) mod confirm;
pub(super) mod footer;
pub(super) mod form;
pub(super) mod gauge;
pub(super) mod health;
pub(super) mod list;
pub(super) mod markdown;
pub(super) mod pane;
pub(super) mod person;
pub(super) mod toast;
pub(super) mod too_small;
