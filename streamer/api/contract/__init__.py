"""The OpenAPI document as other programs need it, where FastAPI's own is less."""
