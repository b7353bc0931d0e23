/** The page: joins the voice client to what is seen. */

import { element, toolBody, toolSummary } from "./elements.js";
import { EventLog } from "./event-log.js";
import { NovaVoice } from "./nova-voice.js";
import { StatusLine } from "./status-line.js";
import { chooseLanguage, EXAMPLES, STRINGS, translate } from "./strings.js";
import { setUpTabs } from "./tabs.js";
import { Timeline } from "./timeline.js";
import { TranscriptModel } from "./transcript-model.js";
import { TranscriptView } from "./transcript-view.js";
import { Waveform } from "./waveform.js";

const LANGUAGE_KEY = "nova-sonic.language";
const FLOOR_DB = -60;

const byId = (id) => document.getElementById(id);
const byIds = (names) => Object.fromEntries(Object.entries(names).map(([name, id]) => [name, byId(id)]));

let language = chooseLanguage([localStorage.getItem(LANGUAGE_KEY) ?? "", ...navigator.languages]);
const t = (key, values) => translate(language, key, values);

let config = { assistants: [], default_assistant: null, websocket_path: "/", local: null };
let restartWith = null; // a choice to begin with when the running session has ended
let waitingTexts = []; // typed before the session was there
let problem = null; // shown in the banner
let wantsMicrophone = true; // of the last start
let wasLive = false;
let usage = null;
const problems = [];
const marks = [];

const model = new TranscriptModel();
const view = new TranscriptView(byIds({ scroller: "transcript", list: "entries", announcer: "announcer", jump: "jump" }), t);
const timeline = new Timeline(byId("timeline-rows"), byId("timeline-empty"), t);
const eventLog = new EventLog(
  byIds({ rows: "events-rows", empty: "events-empty", count: "events-count", filter: "events-filter", periodic: "events-periodic", panel: "panel-events" }),
);
const waveform = new Waveform(byId("waveform"));
const statusLine = new StatusLine(byIds({ line: "link", text: "link-text", seconds: "link-seconds" }), t);
const voice = new NovaVoice({ url: socketUrl("/"), token: () => (config.auth?.mode === "cognito" ? byId("token").value.trim() : null) });

function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// Words

function applyLanguage() {
  document.documentElement.lang = language;
  byId("language").value = language;
  for (const node of document.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of document.querySelectorAll("[data-t-label]")) node.setAttribute("aria-label", t(node.dataset.tLabel));
  for (const node of document.querySelectorAll("[data-t-title]")) node.title = t(node.dataset.tTitle);
  for (const node of document.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
  view.renderAll(model.entries);
  timeline.renderAll();
  showExamples();
  showBackend();
  showState();
  showTools();
  showUsage();
  showBanner();
  showLinkFigures(voice.diagnostics().link);
  statusLine.render();
}

function showExamples() {
  const phrases = config.local ? (EXAMPLES[chosenAssistant()]?.[language] ?? []) : [];
  byId("examples").hidden = phrases.length === 0;
  const items = phrases.map((phrase) => element("li", {}, element("button", { type: "button", class: "example", text: phrase })));
  byId("example-list").replaceChildren(...items);
}

function showBackend() {
  const { session } = voice;
  const where = config.local === null ? "" : t(config.local ? "backend.local" : "backend.bedrock");
  const assistant = config.assistants.find((one) => one.name === chosenAssistant());
  const voiceId = session?.voice_id ?? assistant?.languages.find((one) => one.id === language)?.voice_id ?? "";
  byId("backend").textContent = [where, session?.language ?? language, voiceId].filter(Boolean).join(" · ");
  byId("backend").title = session?.model_id ?? "";
}

function chosenAssistant() {
  return byId("assistant").value || config.default_assistant;
}

// State

function showState() {
  const { state } = voice;
  const isMuted = voice.isMuted && state === "listening";
  byId("pill").setAttribute("aria-live", voice.isLive && wasLive ? "off" : "polite"); // turns are heard, they need no announcing
  wasLive = voice.isLive;
  byId("pill").dataset.state = isMuted ? "muted" : state;
  byId("pill-text").textContent = t(`state.${isMuted ? "muted" : state}`);
  const isBusy = voice.isLive || state === "connecting" || state === "retrying";
  const isEmpty = model.entries.length === 0;
  byId("welcome").hidden = !isEmpty || isBusy;
  byId("start").hidden = isBusy || (isEmpty && !byId("welcome").hidden);
  byId("end").hidden = !isBusy;
  byId("meters").hidden = !isBusy;
  byId("mute").hidden = !isBusy;
  byId("mute").setAttribute("aria-pressed", String(voice.isMuted && voice.hasMicrophone));
  const muteKey = voice.hasMicrophone ? (voice.isMuted ? "unmute" : "mute") : "use_microphone";
  byId("mute-text").textContent = t(muteKey);
  byId("mute").disabled = !voice.isLive;
  keepFocus();
}

/** The button that was pressed may be gone now; the keyboard must not start again at the top of the page. */
function keepFocus() {
  const { activeElement } = document;
  if (activeElement !== document.body && !activeElement.checkVisibility()) byId("transcript").focus({ preventScroll: true });
}

function showMetrics(figures) {
  const ms = (value) => (value === null || value === undefined ? "–" : `${value} ms`);
  byId("gauge-reply").textContent = ms(figures.reply_ms.at(-1));
  byId("gauge-barge-in").textContent = ms(figures.barge_in_ms.at(-1));
  byId("gauge-network").textContent = ms(figures.network_rtt_ms);
  byId("gauge-buffer").textContent = ms(figures.player.target_ms);
  byId("gauge-gaps").textContent = figures.player.underruns === undefined ? "–" : String(figures.player.underruns);
  showLinkFigures(figures.link);
}

function showLinkFigures({ resumes, dropped_ms: dropped }) {
  byId("link-figures").hidden = resumes + dropped.up + dropped.down === 0;
  if (!byId("link-figures").hidden) byId("link-figures").textContent = t("timeline.link", { resumes, ...dropped });
}

function showLevel({ who, rms, at }) {
  const db = Math.max(FLOOR_DB, Math.min(0, Math.round(20 * Math.log10(rms + 1e-9))));
  const meter = byId(`meter-${who}`);
  meter.setAttribute("aria-valuenow", String(db));
  meter.setAttribute("aria-valuetext", `${db} dB`);
  meter.firstElementChild.style.transform = `scaleX(${(1 - db / FLOOR_DB).toFixed(3)})`;
  waveform.level(who, rms, at);
}

// The banner

const SHOWN_WAIT_MS = 1_000; // shorter ones are over before they are read
const RETRYABLE = new Set(["microphone_refused", "microphone_missing", "microphone_busy"]);

function showProblem(detail) {
  problems.push(detail);
  problem = detail;
  showBanner();
}

function showBanner() {
  const banner = byId("banner");
  banner.hidden = problem === null;
  if (problem === null) return;
  const known = `problem.${problem.code}` in STRINGS.en;
  const words = known ? t(`problem.${problem.code}`) : problem.message || problem.code;
  const waits = problem.retry_ms >= SHOWN_WAIT_MS ? ` ${t("problem.wait", { seconds: Math.ceil(problem.retry_ms / 1000) })}` : "";
  byId("banner-text").textContent = (problem.ref ? `${words} (${problem.ref})` : words) + waits;
  const action = byId("banner-action");
  const isRetrying = voice.state === "retrying";
  const isOver = voice.state === "ended" && problem.retryable;
  action.hidden = !(isRetrying || isOver || RETRYABLE.has(problem.code));
  action.textContent = t(isRetrying && !problem.retry_after ? "action.retry" : "action.again");
}

function clearBanner() {
  problem = null;
  showBanner();
}

function onBannerAction() {
  const isRetrying = voice.state === "retrying";
  clearBanner();
  if (isRetrying) voice.retry();
  else if (voice.isLive) voice.addMicrophone().then(showState);
  else start({ microphone: wantsMicrophone });
}

// Tools and usage

function showTools() {
  const calls = model.entries.filter((entry) => entry.kind === "tool").reverse();
  byId("tools-count").textContent = calls.length > 0 ? String(calls.length) : "";
  byId("tools-empty").hidden = calls.length > 0;
  byId("tools-rows").replaceChildren(
    ...calls.map((call) => element("li", {}, element("div", { class: "tool-head" }, ...toolSummary(call, t)), toolBody(call, t))),
  );
}

function showUsage() {
  byId("usage").hidden = usage === null;
  if (usage !== null) byId("usage").textContent = t("timeline.usage", usage);
}

// What the voice client says

function onMessage({ direction, at, message }) {
  eventLog.add({ direction, at, message });
  if (direction === "out") return;
  timeline.message(message, at);
  if (message.type === "session.started") onStarted(message, at);
  if (message.type === "interrupted") waveform.mark(at);
  if (message.type === "usage") {
    usage = message;
    showUsage();
  }
  const entry = model.apply(message, at);
  if (entry) showEntry(entry);
}

function showEntry(entry) {
  view.render(entry);
  if (entry.kind === "tool") showTools();
  if (model.entries.length === 1) showState();
}

function onStarted(message, at) {
  view.assistant = message.assistant.replace(/^./, (letter) => letter.toUpperCase());
  view.zero ??= at;
  timeline.begin(at);
  const note = model.begin(message, at);
  if (note) showEntry(note);
  showBackend();
  if (problem !== null && voice.hasMicrophone) clearBanner();
  for (const text of waitingTexts.splice(0)) voice.sendText(text);
}

function onState({ state }) {
  showState();
  if (state !== "ended" || restartWith === null) return;
  const choice = restartWith;
  restartWith = null;
  queueMicrotask(() => start(choice));
}

function onMark({ name, at, ms }) {
  marks.push({ name, at, ms });
  if (marks.length > 1000) marks.shift();
  timeline.add({ name, at, ms });
}

// What the user does

function start({ microphone }) {
  wantsMicrophone = microphone;
  clearBanner();
  return voice.start({ assistant: chosenAssistant() ?? undefined, language, microphone });
}

function say(text) {
  showEntry(model.typed(text, performance.now()));
  view.follow();
  if (voice.isLive) {
    voice.sendText(text);
    return;
  }
  waitingTexts.push(text);
  if (voice.state === "ready" || voice.state === "ended") start({ microphone: false });
}

function onSubmit(event) {
  event.preventDefault();
  const text = byId("text").value.trim();
  if (text === "") return;
  byId("text").value = "";
  say(text);
}

function toggleMute() {
  if (!voice.isLive) return;
  if (!voice.hasMicrophone) {
    voice.addMicrophone().then(showState);
    return;
  }
  voice.mute(!voice.isMuted);
  showState();
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches?.("input:not([type=checkbox]), select, textarea");
  if (event.key === "Escape" && voice.isLive) voice.interrupt();
  else if (event.key.toLowerCase() === "m" && !isTyping && !event.repeat) toggleMute();
}

function onLanguage() {
  language = byId("language").value;
  localStorage.setItem(LANGUAGE_KEY, language);
  applyLanguage();
  restart();
}

/** Another language or assistant needs another session. */
function restart() {
  if (!voice.isLive) return;
  restartWith = { microphone: voice.hasMicrophone };
  voice.end();
}

function onInspectorToggle() {
  const isOpen = document.body.classList.toggle("inspecting");
  byId("inspector-toggle").setAttribute("aria-expanded", String(isOpen));
  eventLog.renderAll();
}

async function copyEvents() {
  await navigator.clipboard.writeText(eventLog.toNdjson());
  byId("events-copy").textContent = t("events.copied");
  setTimeout(() => (byId("events-copy").textContent = t("events.copy")), 1500);
}

function downloadEvents() {
  const url = URL.createObjectURL(new Blob([eventLog.toNdjson()], { type: "application/x-ndjson" }));
  element("a", { href: url, download: `nova-sonic-${voice.session?.session_id ?? "events"}.ndjson` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// Setting up

async function loadConfig() {
  try {
    const answer = await fetch("config");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    config = await answer.json();
  } catch {
    showProblem({ code: "config" });
    return;
  }
  voice.url = socketUrl(config.websocket_path);
  const options = config.assistants.map(({ name }) => element("option", { value: name, text: name }));
  byId("assistant").replaceChildren(...options);
  byId("assistant").value = config.default_assistant;
  byId("assistant").hidden = options.length < 2;
  byId("sign-in").hidden = config.auth?.mode !== "cognito";
}

function listen() {
  voice.addEventListener("message", ({ detail }) => onMessage(detail));
  voice.addEventListener("mark", ({ detail }) => onMark(detail));
  voice.addEventListener("level", ({ detail }) => showLevel(detail));
  voice.addEventListener("metrics", ({ detail }) => showMetrics(detail));
  voice.addEventListener("problem", ({ detail }) => showProblem(detail));
  voice.addEventListener("state", ({ detail }) => onState(detail));
  voice.addEventListener("link", ({ detail }) => statusLine.show(detail));
  for (const id of ["start", "welcome-start"]) byId(id).addEventListener("click", () => start({ microphone: true }));
  byId("end").addEventListener("click", () => voice.end());
  byId("mute").addEventListener("click", toggleMute);
  byId("type").addEventListener("submit", onSubmit);
  byId("example-list").addEventListener("click", ({ target }) => target.matches("button") && say(target.textContent));
  byId("language").addEventListener("change", onLanguage);
  byId("assistant").addEventListener("change", () => (applyLanguage(), restart()));
  byId("token").addEventListener("change", () => voice.link.connection.renew());
  byId("banner-close").addEventListener("click", clearBanner);
  byId("banner-action").addEventListener("click", onBannerAction);
  byId("inspector-toggle").addEventListener("click", onInspectorToggle);
  byId("events-copy").addEventListener("click", copyEvents);
  byId("events-download").addEventListener("click", downloadEvents);
  byId("events-clear").addEventListener("click", () => eventLog.clear());
  document.addEventListener("keydown", onKey);
  addEventListener("pagehide", () => voice.close());
  setUpTabs(document.querySelector('[role="tablist"]'), () => eventLog.renderAll());
}

/** Read-only view of the page's state, for tests and for the curious at the console. */
Object.defineProperty(globalThis, "novaSonicState", {
  get: () =>
    structuredClone({
      ...voice.diagnostics(),
      language,
      config,
      transcript: model.entries,
      marks,
      problems,
      usage,
      messages: eventLog.entries,
    }),
});

listen();
await loadConfig();
applyLanguage();
showMetrics(voice.diagnostics());
document.documentElement.dataset.ready = "true";
