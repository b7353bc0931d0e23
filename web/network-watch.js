/**
 * Watch for what may have changed the network: the browser says so, or the page was asleep.
 *
 * @param {() => void} look called each time
 * @returns {() => void} ends it
 */
export function watchNetwork(look) {
  const ending = new AbortController();
  const { signal } = ending;
  addEventListener("online", look, { signal });
  addEventListener("offline", look, { signal });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look(), { signal });
  return () => ending.abort();
}
