//! Label matchers, compiled.
