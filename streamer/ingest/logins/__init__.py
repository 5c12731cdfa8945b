"""Logins to cameras that libav can't do: what is asked for, the answer, and its way to RTSP servers."""
