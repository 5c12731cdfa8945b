"""How weights come here: pulled, imported, converted, bundled, drawn at random; whole or not at all."""
