"""By what a person who has several templates is compared: the ways' names. aggregate.py has what they do."""

from typing import Literal

Aggregation = Literal["best", "mean_of_three", "class_mean"]
