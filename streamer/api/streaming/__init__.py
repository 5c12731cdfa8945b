"""What goes on after an answer: messages for listeners, as Server-Sent Events or over a WebSocket."""
