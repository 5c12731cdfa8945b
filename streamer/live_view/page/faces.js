// Boxes and names over a picture that is fitted into its place.

const KNOWN = "#2dd4a7";
const UNKNOWN = "#fbbf24";
const UNDECIDED = "#ffffff";
const FONT_PX = 14;

// message: {width, height, faces}, or undefined for none. isShown: whether there is a picture.
export function drawFaces(canvas, isShown, message) {
  const density = devicePixelRatio;
  const { clientWidth, clientHeight } = canvas;
  const [width, height] = [Math.round(clientWidth * density), Math.round(clientHeight * density)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d");
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, width, height);
  if (!message?.faces.length || !isShown) return;
  const scale = Math.min(clientWidth / message.width, clientHeight / message.height);
  const left = (clientWidth - message.width * scale) / 2;
  const top = (clientHeight - message.height * scale) / 2;
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.font = `600 ${FONT_PX}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const face of message.faces) {
    const [x1, y1, x2, y2] = face.box.map((edge, index) => edge * scale + (index % 2 ? top : left));
    const colour = face.person ? KNOWN : face.decision === "unknown" ? UNKNOWN : UNDECIDED;
    drawBox(pen, x1, y1, x2 - x1, y2 - y1, colour, face.decision === null);
    const text = label(face);
    if (text) drawLabel(pen, text, x1, y1, y2, colour, canvas);
  }
}

// [{text, named}], each name once.
export function namesOf(faces) {
  const names = [...new Set(faces.filter(({ person }) => person).map(({ person }) => person.name))].sort();
  const unknown = faces.filter(({ decision }) => decision === "unknown").length;
  const found = names.map((text) => ({ text, named: true }));
  if (unknown) found.push({ text: unknown === 1 ? "somebody unknown" : `${unknown} unknown`, named: false });
  return found;
}

function label({ person, decision, similarity }) {
  if (person) return similarity === null ? person.name : `${person.name}  ${similarity.toFixed(2)}`;
  return decision === "unknown" ? "unknown" : "";
}

function drawBox(pen, x, y, width, height, colour, dashed) {
  pen.setLineDash(dashed ? [5, 4] : []);
  pen.lineWidth = 4;
  pen.strokeStyle = "rgb(0 0 0 / 55%)"; // or it is lost on a bright wall
  pen.strokeRect(x, y, width, height);
  pen.lineWidth = 2;
  pen.strokeStyle = colour;
  pen.strokeRect(x, y, width, height);
  pen.setLineDash([]);
}

// Under the box: over it is the hair, by which people know each other.
function drawLabel(pen, text, x, above, below, colour, { clientWidth: width, clientHeight: height }) {
  const [wide, high] = [pen.measureText(text).width + 12, FONT_PX + 8];
  const left = Math.max(0, Math.min(x - 2, width - wide));
  const top = below + 2 + high <= height ? below + 2 : Math.max(0, above - high - 2);
  pen.fillStyle = colour;
  pen.fillRect(left, top, wide, high);
  pen.fillStyle = "#10201c";
  pen.fillText(text, left + 6, top + high / 2 + 1);
}
