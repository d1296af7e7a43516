//! Computing with samples: windows, aggregations, binary operations.
