// The page: which screen an address means, and who may see it. Everything starts here.

import { refresh } from "./api.js";
import { keepFocus } from "./focus.js";
import { html, render } from "./vendor/preact.js";
import { Page } from "./shell.js";
import { followSession } from "./visits.js";

render(html`<${Page} />`, document.getElementById("page"));
keepFocus(document.getElementById("page"));
refresh();
followSession();
