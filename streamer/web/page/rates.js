// Error rates over the threshold, as a plot, in a sentence and as a table: for eyes, ears and whoever copies figures.

import { html } from "./vendor/preact.js";

const [WIDE, HIGH] = [440, 260];
const [LEFT, RIGHT, TOP, BOTTOM] = [66, 428, 12, 212];
const DECADES = [1, 0.1, 0.01, 0.001, 0.0001];
const LEAST = DECADES.at(-1);
const COSINES = [0, 0.2, 0.4, 0.6, 0.8, 1];

export const count = (number) => number.toLocaleString();
const figure = (number) => number.toLocaleString(undefined, { maximumSignificantDigits: 2 });
export const share = (part) => (part > 0 && part < 1e-7 ? "under 0.00001 %" : `${figure(part * 100)} %`);
export const oneIn = (part) => (part > 0 && part < 0.1 ? `1 in ${figure(1 / part)} strangers is` : `${share(part)} of strangers are`);

export const inHundred = (part) => (part < 0.01 ? "fewer than 1 in 100" : `about ${Math.round(part * 100)} in 100`);

// Between the curve's points, as a line would have it; null where it is not known.
export function rateAt(curve, threshold, rate) {
  const place = curve.findIndex((one) => one.threshold >= threshold);
  const [one, other] = [curve[Math.max(place - 1, 0)], curve.at(place)];
  if (place < 0 || one[rate] === null || other[rate] === null) return place < 0 ? curve.at(-1)[rate] : null;
  const part = one === other ? 0 : (threshold - one.threshold) / (other.threshold - one.threshold);
  return one[rate] + part * (other[rate] - one[rate]);
}

const across = (cosine) => LEFT + cosine * (RIGHT - LEFT);
const down = (part) => TOP + (Math.log10(Math.max(part, LEAST)) / Math.log10(LEAST)) * (BOTTOM - TOP);

// Down to the plot's floor, and no further.
function line(curve, rate) {
  const points = [];
  for (const one of curve) {
    if (one[rate] === null) continue;
    const isBelow = one[rate] <= LEAST;
    if (isBelow && points.length && points.at(-1)[1] === BOTTOM) continue;
    points.push([across(one.threshold), down(one[rate])]);
  }
  return points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

// found: a space of POST /api/v1/calibration, with its `curve`. inUse: the threshold that this one would take the place of.
export function Rates({ space, found, inUse = found.threshold }) {
  const { threshold, expected_fpir: fpir, expected_fnir: fnir, used_threshold: used, curve, people, templates } = found;
  const missed = fnir === null ? "how many of your own people are missed is not known" : `${inHundred(fnir)} of your people’s faces are missed`;
  const missedNow = rateAt(curve, inUse, "fnir");
  const words = `Named from ${threshold.toFixed(3)} on: about ${oneIn(fpir)} taken for somebody, and ${missed}.`;
  return html`<figure class="rates">
    <figcaption><h3>${space}, computed</h3><p>${words}</p>
      ${inUse !== threshold && missedNow !== null && html`<p class="now">At the ${inUse.toFixed(3)} in use, ${inHundred(missedNow)} are missed.</p>`}
      ${used !== threshold && html`<p>In use is ${used.toFixed(3)}: <code>gallery.threshold</code> is set.</p>`}
      <p class="quiet">With ${count(people)} people and ${count(templates)} photos, as they are now.</p></figcaption>
    <${Plot} space=${space} curve=${curve} threshold=${threshold} hasMissed=${fnir !== null} words=${words} />
    <details><summary>As a table</summary><${Table} space=${space} curve=${curve} /></details>
  </figure>`;
}

function Plot({ space, curve, threshold, hasMissed, words }) {
  const x = across(threshold);
  const isRight = x > (LEFT + RIGHT) / 2;
  return html`<svg class="plot" viewBox=${`0 0 ${WIDE} ${HIGH}`} role="img" aria-label=${`Error rates of ${space} over the threshold. ${words}`}>
    ${DECADES.map((part) => html`<g key=${part}><path class="grid" d=${`M${LEFT} ${down(part)}H${RIGHT}`} />
      <text class="left" x=${LEFT - 6} y=${down(part) + 4}>${share(part)}</text></g>`)}
    ${COSINES.map((cosine) => html`<g key=${cosine}><path class="grid" d=${`M${across(cosine)} ${TOP}V${BOTTOM}`} />
      <text class="below" x=${across(cosine)} y=${BOTTOM + 20}>${cosine}</text></g>`)}
    <text class="below" x=${(LEFT + RIGHT) / 2} y=${BOTTOM + 42}>similarity from which on somebody is named</text>
    <path class="strangers" d=${line(curve, "fpir")} />
    ${hasMissed && html`<path class="missed" d=${line(curve, "fnir")} />`}
    <path class="threshold" d=${`M${x} ${TOP}V${BOTTOM}`} />
    <text class=${isRight ? "left" : ""} x=${x + (isRight ? -6 : 6)} y=${TOP + 12}>${threshold.toFixed(3)}</text>
  </svg>
  <ul class="legend" aria-hidden="true"><li class="strangers">strangers who are named</li>
    ${hasMissed && html`<li class="missed">own people who are missed</li>`}<li class="threshold">the threshold</li></ul>`;
}

function Table({ space, curve }) {
  return html`<table aria-label=${`Error rates of ${space}`}><thead><tr><th scope="col">Named from</th><th scope="col">Strangers named</th><th scope="col">Own people missed</th></tr></thead>
    <tbody>${curve.filter((_, place) => place % 2 === 0).map(({ threshold, fpir, fnir }) => html`<tr key=${threshold}>
      <th scope="row">${threshold.toFixed(2)}</th><td>${share(fpir)}</td><td>${fnir === null ? "not known" : share(fnir)}</td></tr>`)}</tbody></table>`;
}
