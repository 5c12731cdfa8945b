"""Who a trained classifier says it is, beside matching."""
