"""Cameras of the local network that speak ONVIF: who answers, and by which URLs they are watched."""
