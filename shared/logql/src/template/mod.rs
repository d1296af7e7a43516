//! Go templates, as far as `line_format` and `label_format` need them.
