"""Bodies of requests and answers that a project keeps: redacted, encrypted, for a time. docs/capture.md."""
