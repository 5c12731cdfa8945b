"""What a page of HTML consists of, for tests."""

from html.parser import HTMLParser


class Parts(HTMLParser):
    """What a page refers to, and what stands in it that its policy forbids."""

    def __init__(self):
        super().__init__()
        self.references, self.inline = [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "href"):
                self.references.append(value)
            if name == "style" or name.startswith("on"):
                self.inline.append((tag, name))
        if tag == "style" or (tag == "script" and not dict(attributes).get("src")):
            self.inline.append((tag, None))
