//! The same questions over HTTP against deployed functions.
