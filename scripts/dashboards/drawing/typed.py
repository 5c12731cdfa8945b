"""The dashboards as TypeScript that holds each to the types of @grafana/schema; on stdout, for `npx tsc --noEmit`.

Dashboards, panels and the options of each kind of panel; a key that there is not is an error, too. What belongs to
Prometheus that package has no type for: queries, and the `expr` of annotations.
"""

import json
import sys
from typing import Any

from tests.grafana.reading import boards, panels

KINDS = {
    "stat": "stat",
    "timeseries": "timeseries",
    "heatmap": "heatmap",
    "state-timeline": "statetimeline",
    "table": "table",
}
TYPES = "@grafana/schema/dist/types/raw/composable"

# An enum's values as they stand in JSON: TypeScript takes no string for an enum.
AS_JSON = """type Json<T> = T extends string ? `${T}`
  : T extends number ? (`${T}` extends `${infer N extends number}` ? N : T)
  : T extends boolean | null | undefined ? T : unknown extends T ? T
  : T extends (infer One)[] ? Json<One>[] : { [K in keyof T]: Json<T[K]> };
"""


def literal(name: str, kind: str, value: Any) -> str:
    return f"const {name}: Json<{kind}> = {json.dumps(value, indent=1)};\nvoid {name};\n"


def main() -> None:
    out = sys.stdout
    out.write("import type { Dashboard } from '@grafana/schema/dist/types/raw/dashboard/x/types.gen';\n")
    for name in KINDS.values():
        out.write(f"import type * as {name} from '{TYPES}/{name}/panelcfg/x/types.gen';\n")
    out.write(AS_JSON)
    number = 0
    for board in boards().values():
        number += 1
        for annotation in board["annotations"]["list"]:
            del annotation["expr"]
        out.write(literal(f"board{number}", "Dashboard", board))
        for panel in panels(board):
            number += 1
            kind = KINDS[panel["type"]]
            out.write(literal(f"options{number}", f"{kind}.Options", panel["options"]))
            custom = panel["fieldConfig"]["defaults"].get("custom")
            if custom is not None:
                out.write(literal(f"custom{number}", f"{kind}.FieldConfig", custom))


if __name__ == "__main__":
    main()
