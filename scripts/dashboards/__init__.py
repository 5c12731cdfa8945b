"""The Grafana dashboards of configs/grafana as Python: panels in, JSON out. `python -m scripts.dashboards` writes them.

Nothing runs on import; tests/grafana holds the JSON to this, to Grafana's schema and to a real Prometheus.
"""
