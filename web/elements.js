/** Make DOM nodes in one line each. */

/**
 * @param {string} tag
 * @param {{class?: string, text?: string} & Record<string, string>} attributes
 * @param {(Node | string)[]} children
 */
export function element(tag, { class: className, text, ...attributes } = {}, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Minutes, seconds and tenths since the conversation began. */
export function clockText(ms) {
  const tenths = Math.max(0, Math.round(ms / 100));
  const seconds = Math.floor(tenths / 10);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}.${tenths % 10}`;
}

/** JSON text with a blank after each comma and colon, so that it can break; the text itself when it is not JSON. */
export function prettyJson(text) {
  try {
    const spaced = JSON.stringify(JSON.parse(text), null, 1);
    return spaced.replaceAll(/([[{])\n\s*/g, "$1").replaceAll(/\n\s*([\]}])/g, "$1").replaceAll(/\n\s*/g, " ");
  } catch {
    return text;
  }
}

/** The tools' status line: name, status, milliseconds. */
export function toolSummary({ name, errorCode, ms, output }, t) {
  const state = output === null ? "running" : errorCode === null ? "ok" : "failed";
  const words = { running: t("tool.running"), ok: t("tool.ok"), failed: errorCode };
  return [
    element("code", { text: name }),
    element("span", { class: `status ${state}`, text: words[state] }),
    element("span", { class: "duration", text: ms === null ? "" : `${ms} ms` }),
  ];
}

/** The tool's input and output. */
export function toolBody({ input, output }, t) {
  const rows = [element("dt", { text: t("tool.input") }), element("dd", {}, element("code", { text: prettyJson(input) }))];
  if (output !== null) rows.push(element("dt", { text: t("tool.output") }), element("dd", {}, element("code", { text: prettyJson(output) })));
  return element("dl", { class: "tool-body" }, ...rows);
}
