"""What happens to requests, as events for hooks and as OpenTelemetry spans and metrics."""
