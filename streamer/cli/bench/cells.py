"""A figure in a table: in its form, or nothing where there is none."""


def cell(value: float | None, form: str = "", then: str = "") -> str:
    """`form` as format() has it; `then` comes behind a figure."""
    return "" if value is None else f"{value:{form}}{then}"
