"""`python -m streamer` is `whosthere`."""

from streamer.entry import main

if __name__ == "__main__":
    main()
