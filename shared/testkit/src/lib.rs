//! For development only: data generators, a faulty store, conformance and tidiness tests.
