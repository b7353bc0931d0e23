/**
 * What was said in a conversation, in order: turns, tool calls and notes. Pure; the view draws it.
 *
 * A turn has blocks of text. A speculative block (what the assistant is about to say) is replaced by the final block at the same place
 * (what it said); after an interruption the speculative rest was never heard and is dropped as soon as a final text is there.
 */
export class TranscriptModel {
  constructor() {
    this.entries = [];
    this.sessions = 0;
  }

  /** A new session begins: its turns are numbered from 1 again. */
  begin(started, at) {
    this.sessions += 1;
    return this.sessions > 1 ? this.#add({ kind: "note", language: started.language, voice: started.voice_id, at }) : null;
  }

  /** The user typed; the server's transcript of it, if one comes, is the same entry. */
  typed(text, at) {
    return this.#add({ kind: "turn", role: "user", turn: null, finals: [text], speculative: [], interruptedMs: null, typed: true, at });
  }

  /**
   * Take a server message.
   *
   * @returns {object | null} the entry that it changed or added
   */
  apply(message, at) {
    switch (message.type) {
      case "transcript":
        return this.#transcript(message, at);
      case "interrupted":
        return this.#interrupted(message);
      case "tool.started":
        return this.#add({ kind: "tool", id: message.id, name: message.name, input: message.arguments, output: null, errorCode: null, ms: null, at });
      case "tool.finished":
        return this.#toolFinished(message);
      default:
        return null;
    }
  }

  #add(entry) {
    const added = { ...entry, session: this.sessions, key: this.entries.length };
    this.entries.push(added);
    return added;
  }

  #turn(role, turn) {
    return this.entries.findLast((entry) => entry.kind === "turn" && entry.session === this.sessions && entry.role === role && entry.turn === turn);
  }

  #transcript({ turn, role, stage, text }, at) {
    let entry = this.#turn(role, turn) ?? (role === "user" ? this.#claimTyped(turn, text) : null);
    if (entry?.typed) return entry;
    entry ??= this.#add({ kind: "turn", role, turn, finals: [], speculative: [], interruptedMs: null, typed: false, at });
    (stage === "final" ? entry.finals : entry.speculative).push(text);
    return entry;
  }

  #claimTyped(turn, text) {
    const same = (entry) => entry.typed && entry.turn === null && entry.finals[0].trim() === text.trim();
    const entry = this.entries.find(same);
    return entry ? Object.assign(entry, { turn, session: this.sessions }) : null;
  }

  #interrupted({ turn, heard_ms: heardMs }) {
    const entry = this.#turn("assistant", turn);
    if (!entry) return null;
    entry.interruptedMs = heardMs;
    return entry;
  }

  #toolFinished({ id, result, error_code: errorCode, duration_ms: ms }) {
    const entry = this.entries.findLast((one) => one.kind === "tool" && one.id === id);
    if (!entry) return null;
    return Object.assign(entry, { output: result, errorCode: errorCode ?? null, ms });
  }
}

/**
 * The text of a turn as it is to be shown.
 *
 * @returns {{final: string, speculative: string}} what was said, and what is about to be said
 */
export function turnText({ finals, speculative, interruptedMs }) {
  const rest = interruptedMs !== null && finals.length > 0 ? [] : speculative.slice(finals.length);
  return { final: finals.join(" "), speculative: rest.join(" ") };
}
