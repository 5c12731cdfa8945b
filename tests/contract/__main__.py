"""`make openapi`: docs/openapi.json and the table of roles in docs/api.md, anew from a service that runs."""

import json
import tempfile
from pathlib import Path

from tests.contract.home import home
from tests.contract.page import DOCUMENT, may, role_table, write_table

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, home(Path(folder)) as found:
        DOCUMENT.write_text(json.dumps(found.document, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
        write_table(role_table(may(found)))
