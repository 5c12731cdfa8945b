"""What is told of the service itself: logs, Prometheus metrics, the loop's lag."""
