"""What comes with the project for containers: images, the compose file, Kubernetes."""
