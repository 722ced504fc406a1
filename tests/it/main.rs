//! Integration tests: one binary, because each links the AWS SDK again.
