//! Accepts pushes, validates and enriches them, packs segments, commits them.
