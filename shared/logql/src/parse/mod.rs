//! Tokens to tree.
