"""`python -m streamer` is `whosthere`."""

from streamer.cli import main

if __name__ == "__main__":
    main()
