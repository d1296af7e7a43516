//! Keys, commit, manifests and ranged reads on an object store.
