"""Where pictures change, and where they are looked at: what spares quiet cameras most of the work. Pure."""
