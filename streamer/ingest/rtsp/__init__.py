"""The RTSP server that publishers come to: requests read, logins checked, sessions kept, packets handed on."""
