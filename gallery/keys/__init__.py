"""What seals the gallery and kept visits: ciphers, the master key and where it comes from, the keys of people."""
