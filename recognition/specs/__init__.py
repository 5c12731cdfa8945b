"""What a model is: its spec, its files, its weights, the devices it may run on."""
